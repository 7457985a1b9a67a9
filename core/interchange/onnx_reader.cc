#include "core/interchange/onnx_read_tables.h"

namespace tamer {
namespace {

const OnnxReadTable& Readers() {
  static const OnnxReadTable& all = *[] {
    auto* table = new OnnxReadTable(BasicReaders());
    for (const OnnxReadTable& family :
         {ProductReaders(), ImageReaders(), ShapeReaders(), ReduceReaders(),
          RecurrentReaders()}) {
      table->insert(family.begin(), family.end());
    }
    return table;
  }();
  return all;
}

}  // namespace

OnnxReader::OnnxReader(const onnx::GraphProto& model, int64_t opset,
                       Graph* graph, Variables* variables)
    : model_(model), opset_(opset), graph_(graph), variables_(variables) {
  for (const onnx::NodeProto& node : model.node()) {
    for (const std::string& input : node.input()) {
      readers_[input].push_back(&node);
    }
  }
  for (const auto& output : model.output()) outputs_.insert(output.name());
}

absl::Status OnnxReader::Begin(bool first_is_batch) {
  for (const onnx::TensorProto& tensor : model_.initializer()) {
    TAMER_ASSIGN_OR_RETURN(OnnxConstant constant, ConstantOf(tensor));
    constant.trainable = true;
    OnnxValue& value = values_[tensor.name()];
    value.constant = std::make_shared<OnnxConstant>(std::move(constant));
  }
  return AddInputs(first_is_batch);
}

absl::Status OnnxReader::AddInputs(bool first_is_batch) {
  std::vector<const onnx::ValueInfoProto*> inputs;
  bool free = false;
  const auto shape =
      [](const onnx::ValueInfoProto* input) -> const onnx::TensorShapeProto& {
    return input->type().tensor_type().shape();
  };
  for (const auto& input : model_.input()) {
    if (values_.count(input.name()) > 0) continue;  // an initializer's default
    inputs.push_back(&input);
    free |=
        shape(&input).dim_size() > 0 && !shape(&input).dim(0).has_dim_value();
  }
  int64_t batch = -1;
  for (const onnx::ValueInfoProto* input : inputs) {
    TensorType type;
    const int32_t kind = input->type().tensor_type().elem_type();
    const bool whole =
        kind == onnx::TensorProto::INT32 || kind == onnx::TensorProto::INT64;
    if (!whole && kind != onnx::TensorProto::FLOAT) {
      return Invalid("input \"", input->name(),
                     "\" must be FLOAT, INT32 or INT64");
    }
    type.dtype = whole ? DType::kInt32 : DType::kFloat;
    for (int i = 0; i < shape(input).dim_size(); ++i) {
      const auto& dim = shape(input).dim(i);
      const bool here = !free && first_is_batch && i == 0 &&
                        (batch < 0 || batch == dim.dim_value());
      if (here) batch = dim.dim_value();
      if (dim.has_dim_value() && !here) {
        type.shape.push_back(dim.dim_value());
      } else if (i == 0) {
        type.shape.push_back(Shape::kBatch);
      } else {
        return Invalid("input \"", input->name(), "\" has no fixed dimension ",
                       i,
                       "; only the first, the batch, may be open. Export "
                       "the model with fixed sizes");
      }
    }
    const std::string name = NewName(input->name());
    TAMER_RETURN_IF_ERROR(graph_->AddInput(name, type).status());
    values_[input->name()].name = name;
  }
  return absl::OkStatus();
}

absl::Status OnnxReader::ReadAll() {
  for (const onnx::NodeProto& node : model_.node()) {
    if (taken_.count(&node) == 0) TAMER_RETURN_IF_ERROR(ReadNode(node));
  }
  for (const auto& output : model_.output()) {
    if (values_.count(output.name()) == 0) {
      return Invalid("output \"", output.name(), "\" is made by no node");
    }
    result_ = output.name();
    const std::string name = Materialize(output.name());
    TAMER_RETURN_IF_ERROR(status_);
    TAMER_RETURN_IF_ERROR(graph_->AddOutput(name));
  }
  return absl::OkStatus();
}

absl::Status OnnxReader::ReadNode(const onnx::NodeProto& node) {
  node_ = &node;
  result_ = node.output_size() > 0 ? node.output(0) : node.name();
  for (const std::string& input : node.input()) {
    if (!input.empty() && values_.count(input) == 0) {
      Fail(absl::StrCat("its input \"", input, "\" is made by no node before"));
      return status_;
    }
  }
  const auto reader = Readers().find(node.op_type());
  if (!node.domain().empty() && node.domain() != "ai.onnx") {
    Fail(absl::StrCat("the domain ", node.domain(), " is not read"));
  } else if (FoldConstants(*this)) {
    return status_;
  } else if (reader == Readers().end()) {
    Fail("this operator has no counterpart here");
  } else {
    reader->second(*this);
  }
  return status_;
}

const onnx::AttributeProto* OnnxReader::Attribute(const char* name) const {
  for (const onnx::AttributeProto& attribute : node_->attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

int64_t OnnxReader::Int(const char* attribute, int64_t otherwise) const {
  const auto* found = Attribute(attribute);
  return found == nullptr ? otherwise : found->i();
}

float OnnxReader::Float(const char* attribute, float otherwise) const {
  const auto* found = Attribute(attribute);
  return found == nullptr ? otherwise : found->f();
}

std::string OnnxReader::Text(const char* attribute,
                             const std::string& otherwise) const {
  const auto* found = Attribute(attribute);
  return found == nullptr ? otherwise : found->s();
}

std::vector<int64_t> OnnxReader::Ints(const char* attribute) const {
  const auto* found = Attribute(attribute);
  if (found == nullptr) return {};
  return {found->ints().begin(), found->ints().end()};
}

int OnnxReader::Axis(int64_t axis, int rank) {
  if (axis < 0) axis += rank;
  if (axis >= 0 && axis < rank) return static_cast<int>(axis);
  Fail(absl::StrCat("there is no axis ", axis));
  return 0;
}

std::vector<int64_t> OnnxReader::Ints(int i, const char* attribute) {
  if (!Has(i)) return Ints(attribute);
  const OnnxConstant* constant = Constant(i);
  if (constant == nullptr || !constant->whole) {
    Fail(absl::StrCat("its input \"", node_->input(i),
                      "\" must be whole numbers that the model holds"));
    return {};
  }
  return constant->ints;
}

const OnnxValue& OnnxReader::Value(int i) {
  static const OnnxValue& none = *new OnnxValue;
  if (Has(i)) return values_[node_->input(i)];
  Fail(absl::StrCat("input ", i, " is missing"));
  return none;
}

const OnnxConstant* OnnxReader::Constant(int i) {
  return Has(i) ? Value(i).constant.get() : nullptr;
}

const OnnxConstant* OnnxReader::Find(const std::string& value) const {
  const auto found = values_.find(value);
  return found == values_.end() ? nullptr : found->second.constant.get();
}

bool OnnxReader::Scalar(int i, float* value) {
  const OnnxConstant* constant = Constant(i);
  if (constant == nullptr || constant->whole || constant->elements() != 1 ||
      constant->trainable) {
    return false;
  }
  *value = constant->floats[0];
  return true;
}

const OnnxConstant* OnnxReader::Weight(int i, int rank) {
  const OnnxConstant* constant = Constant(i);
  if (constant != nullptr && !constant->whole && !constant->zero_row &&
      (rank == 0 || rank == static_cast<int>(constant->dims.size()))) {
    return constant;
  }
  Fail(absl::StrCat("input ", i, " must be a constant FLOAT tensor",
                    rank > 0 ? absl::StrCat(" of ", rank, " dimensions") : ""));
  return nullptr;
}

Shape OnnxReader::ShapeOf(const std::string& name) const {
  const ValueId id = graph_->FindValue(name);
  return id < 0 ? Shape() : graph_->value(id).type.shape;
}

DType OnnxReader::TypeOf(const std::string& name) const {
  const ValueId id = graph_->FindValue(name);
  return id < 0 ? DType::kFloat : graph_->value(id).type.dtype;
}

std::string OnnxReader::OpOf(const std::string& node) const {
  const NodeId id = graph_->FindNode(node);
  return id < 0 ? "" : graph_->node(id).op->name();
}

Shape OnnxReader::Dims(int i) {
  const OnnxValue& value = Value(i);
  if (value.constant != nullptr) return Shape(value.constant->dims);
  Shape shape = ShapeOf(value.name);
  if (value.view.empty()) return shape;
  Shape seen;
  for (int at : value.view) seen.push_back(shape.dim(at));
  return seen;
}

std::string OnnxReader::In(int i) {
  if (!Has(i)) {
    Fail(absl::StrCat("input ", i, " is missing"));
    return "";
  }
  return Materialize(node_->input(i));
}

void OnnxReader::Result(const OnnxValue& value, int output) {
  if (output == 0) {
    values_[result_] = value;
  } else if (output < node_->output_size()) {
    values_[node_->output(output)] = value;
  }
}

void OnnxReader::Result(const std::string& name, int output,
                        std::vector<int> view) {
  Result(OnnxValue{name, std::move(view), nullptr}, output);
}

void OnnxReader::Result(OnnxConstant constant, int output) {
  Result(OnnxValue{"", {}, std::make_shared<OnnxConstant>(std::move(constant))},
         output);
}

bool OnnxReader::Used(int output) const {
  if (output >= node_->output_size()) return false;
  const std::string& name = node_->output(output);
  return readers_.count(name) > 0 || outputs_.count(name) > 0;
}

const onnx::NodeProto* OnnxReader::Next() const {
  const auto found = readers_.find(result_);
  if (found == readers_.end() || found->second.size() != 1 ||
      outputs_.count(result_) > 0) {
    return nullptr;
  }
  return found->second[0];
}

void OnnxReader::Take() {
  const onnx::NodeProto* next = Next();
  taken_.insert(next);
  result_ = next->output(0);
}

void OnnxReader::Fail(const std::string& text) {
  if (!status_.ok()) return;
  const std::string name = node_ == nullptr        ? ""
                           : node_->name().empty() ? result_
                                                   : node_->name();
  status_ = absl::UnimplementedError(absl::StrCat(
      "node \"", name, "\": ", node_ == nullptr ? "" : node_->op_type(),
      " can't be read: ", text));
}

}  // namespace tamer
