// How a reader adds to the graph.

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "core/interchange/onnx_reader.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

bool IsIdentity(const std::vector<int>& view) {
  for (size_t i = 0; i < view.size(); ++i) {
    if (view[i] != static_cast<int>(i)) return false;
  }
  return true;
}

}  // namespace

std::string OnnxReader::Materialize(const std::string& name) {
  OnnxValue& value = values_[name];
  if (value.constant != nullptr) {
    const OnnxConstant& constant = *value.constant;
    const Owned* owned = FindOwner(constant);
    if (owned != nullptr && !owned->transposed && !constant.zero_row) {
      return Reshape(owned->variable, Shape(constant.dims), "shaped");
    }
    if (constant.whole || constant.zero_row) {
      Fail(absl::StrCat("its input \"", name, "\" must be FLOAT"));
      return "";
    }
    return AddParameter(constant, name, &value);
  }
  const std::string kept = std::exchange(result_, name);
  value.name = LaidOut(value.name, value.view);
  value.view.clear();
  result_ = kept;
  return value.name;
}

std::string OnnxReader::LaidOut(const std::string& x,
                                const std::vector<int>& view) {
  if (IsIdentity(view)) return x;
  op::Transpose transpose;
  for (int at : view) transpose.add_perm(at);
  return Add(transpose, {x});
}

// Numbers that no layer owns, as a node of their own.
std::string OnnxReader::AddParameter(const OnnxConstant& constant,
                                     const std::string& name,
                                     OnnxValue* value) {
  const std::string kept = std::exchange(result_, name);
  if (constant.elements() == 1 && !constant.trainable) {
    op::Constant one;
    for (int64_t dim : constant.dims) one.add_shape(dim);
    one.set_value(constant.floats[0]);
    value->name = Add(one, {});
  } else {
    op::Parameter parameter;
    for (int64_t dim : constant.dims) parameter.add_shape(dim);
    parameter.set_trainable(constant.trainable);
    parameter.set_decay(constant.trainable);
    value->name = Add(parameter, {}, {constant.floats});
    if (constant.trainable) {
      owners_[constant.name] = {value->name, value->name, false};
    }
  }
  result_ = kept;
  value->constant = nullptr;
  return value->name;
}

std::string OnnxReader::NewName(const std::string& wanted) {
  std::string name = wanted;
  for (char& c : name) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '/' &&
        c != '-') {
      c = '_';
    }
  }
  const size_t first = name.find_first_not_of("/.-");
  name = first == std::string::npos ? "node" : name.substr(first);
  if (absl::ascii_isdigit(name[0])) name = absl::StrCat("_", name);
  std::string free = name;
  for (int i = 2; graph_->FindValue(free) >= 0 || graph_->FindNode(free) >= 0 ||
                  names_.count(free) > 0;
       ++i) {
    free = absl::StrCat(name, "_", i);
  }
  names_.insert(free);
  return free;
}

std::string OnnxReader::Add(const OpParams& params,
                            const std::vector<std::string>& inputs,
                            const std::vector<std::vector<float>>& weights,
                            const std::string& part) {
  if (!status_.ok()) return "";
  const std::string name =
      NewName(part.empty() ? result_ : absl::StrCat(result_, "/", part));
  const auto id = graph_->AddNode(name, params, inputs);
  if (!id.ok()) {
    Fail(std::string(id.status().message()));
    return "";
  }
  const Node& node = graph_->node(*id);
  for (size_t i = 0; i < std::min(weights.size(), node.variables.size()); ++i) {
    const tamer::Value& variable = graph_->value(node.variables[i]);
    if (variable.type.shape.elements() !=
        static_cast<int64_t>(weights[i].size())) {
      Fail(absl::StrCat("\"", variable.name, "\" takes ",
                        variable.type.ToString(), ", but the model holds ",
                        weights[i].size(), " numbers"));
      return "";
    }
    const auto tensor = variables_->Add(variable.name, variable.type);
    if (!tensor.ok()) {
      Fail(std::string(tensor.status().message()));
      return "";
    }
    std::memcpy(tensor->data, weights[i].data(), tensor->bytes());
  }
  return name;
}

const OnnxReader::Owned* OnnxReader::FindOwner(
    const OnnxConstant& constant) const {
  const auto found = owners_.find(constant.name);
  return found == owners_.end() ? nullptr : &found->second;
}

std::string OnnxReader::AddLayer(const OpParams& params,
                                 const std::vector<std::string>& inputs,
                                 const std::vector<std::vector<float>>& weights,
                                 const OnnxConstant& owner, bool transposed) {
  const Owned* owned = FindOwner(owner);
  if (owned != nullptr) {
    const std::string name = NewName(result_);
    const auto id = graph_->AddNode(name, params, inputs, owned->node);
    if (!id.ok()) Fail(std::string(id.status().message()));
    return name;
  }
  // Named as its weights are, where these are called so.
  const std::string kept = result_;
  for (const char* ending : {"/weight", ".weight"}) {
    if (absl::EndsWith(owner.name, ending)) {
      result_ = std::string(absl::StripSuffix(owner.name, ending));
    }
  }
  const std::string name = Add(params, inputs, weights);
  result_ = kept;
  if (status_.ok() && owner.trainable) {
    const Node& node = graph_->node(graph_->FindNode(name));
    owners_[owner.name] = {graph_->value(node.variables[0]).name, name,
                           transposed};
  }
  return name;
}

std::string OnnxReader::Reshape(const std::string& x, const Shape& shape,
                                const std::string& part) {
  if (!status_.ok() || ShapeOf(x) == shape) return x;
  // Of a reshaped value: of what that was made of.
  const NodeId id = graph_->FindNode(x);
  if (id >= 0 && graph_->node(id).op->name() == "Reshape") {
    const std::string& source = graph_->value(graph_->node(id).inputs[0]).name;
    if (ShapeOf(source) == shape) return source;
  }
  op::Reshape reshape;
  const bool batched = shape.rank() > 0 && shape.dim(0) < 0;
  for (int i = batched ? 1 : 0; i < shape.rank(); ++i) {
    reshape.add_shape(shape.dim(i));
  }
  return Add(reshape, {x}, {}, part);
}

op::Activation OnnxReader::TakeActivation(bool gelu) {
  const onnx::NodeProto* next = Next();
  // What the model answers with stays apart: it belongs to a loss.
  const bool inner = next != nullptr && outputs_.count(next->output(0)) == 0;
  const std::string op = inner ? next->op_type() : "";
  const op::Activation found = op == "Relu"           ? op::RELU
                               : op == "Sigmoid"      ? op::SIGMOID
                               : op == "Tanh"         ? op::TANH
                               : op == "Gelu" && gelu ? op::GELU
                                                      : op::LINEAR;
  if (found != op::LINEAR) Take();
  return found;
}

}  // namespace tamer
