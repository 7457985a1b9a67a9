#include "core/interchange/onnx_writer.h"

#include <cstring>

#include "core/interchange/onnx.h"
#include "core/op/layout.h"

namespace tamer {
namespace {

const OnnxWriteTable& Writers() {
  static const OnnxWriteTable& all = *[] {
    auto* table = new OnnxWriteTable(BasicWriters());
    for (const OnnxWriteTable& family :
         {ImageWriters(), ShapeWriters(), SequenceWriters(),
          RecurrentWriters()}) {
      table->insert(family.begin(), family.end());
    }
    return table;
  }();
  return all;
}

onnx::AttributeProto ToProto(const OnnxAttribute& attribute) {
  onnx::AttributeProto proto;
  proto.set_name(attribute.name);
  if (const auto* number = std::get_if<int64_t>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::INT);
    proto.set_i(*number);
  } else if (const auto* real = std::get_if<float>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::FLOAT);
    proto.set_f(*real);
  } else if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::STRING);
    proto.set_s(*text);
  } else if (const auto* numbers =
                 std::get_if<std::vector<int64_t>>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto::INTS);
    proto.mutable_ints()->Add(numbers->begin(), numbers->end());
  } else {
    proto.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& one :
         std::get<std::vector<std::string>>(attribute.value)) {
      proto.add_strings(one);
    }
  }
  return proto;
}

// Whether channels stand last: what the layout pass makes.
bool HasChannelsLast(const OpParams& params) {
  const auto* field = params.GetDescriptor()->FindFieldByName("channels_last");
  return field != nullptr && params.GetDescriptor()->name() != "Reorder" &&
         params.GetReflection()->GetBool(params, field);
}

}  // namespace

bool HasOnnxCounterpart(const std::string& op) {
  return Writers().count(op) > 0;
}

absl::Status OnnxWriter::Write(const Node& node) {
  node_ = &node;
  all_inputs_ = node.AllInputs();
  const auto writer = Writers().find(node.op->name());
  if (writer == Writers().end()) {
    const std::string why = WhyNotInOnnx(node.op->name());
    Fail(why.empty()
             ? "ONNX has no counterpart of this op; cut the network below it "
               "by --layer, or write it with other ops"
             : why);
  } else if (HasChannelsLast(*node.params)) {
    Fail("its channels stand last; export the network before the layout pass");
  }
  const int first_node = proto_->node_size();
  std::vector<std::string> results;
  if (status_.ok()) results = writer->second(*this);
  if (status_.ok()) status_ = NameResults(results, first_node);
  return status_;
}

absl::Status OnnxWriter::NameResults(const std::vector<std::string>& results,
                                     int first_node) {
  for (size_t i = 0; i < node_->outputs.size(); ++i) {
    const ValueId id = node_->outputs[i];
    if (i >= results.size() || results[i].empty()) {
      missing_.insert(id);
      continue;
    }
    const std::string& to = graph_.value(id).name;
    bool made_here = false;
    for (int n = first_node; n < proto_->node_size(); ++n) {
      onnx::NodeProto* made = proto_->mutable_node(n);
      for (std::string& name : *made->mutable_output()) {
        made_here |= name == results[i];
        if (name == results[i]) name = to;
      }
      for (std::string& name : *made->mutable_input()) {
        if (name == results[i]) name = to;
      }
    }
    if (!made_here) {  // nothing to do but to give it its name
      onnx::NodeProto* same = proto_->add_node();
      same->set_op_type("Identity");
      same->set_name(to);
      same->add_input(results[i]);
      same->add_output(to);
    }
  }
  return absl::OkStatus();
}

const std::string& OnnxWriter::Read(ValueId id) {
  const Value& value = graph_.value(id);
  if (missing_.count(id) > 0) {
    Fail(absl::StrCat("its input \"", value.name,
                      "\" has no counterpart in ONNX"));
  }
  if (value.kind != Value::kVariable || !initialized_.insert(id).second) {
    return value.name;
  }
  const Tensor* tensor = variables_.Find(value.name);
  if (tensor == nullptr || tensor->dtype != DType::kFloat) {
    Fail(absl::StrCat("parameter \"", value.name, "\" is no FLOAT tensor"));
    return value.name;
  }
  onnx::TensorProto* proto = proto_->add_initializer();
  proto->set_name(value.name);
  proto->set_data_type(onnx::TensorProto::FLOAT);
  for (int64_t dim : tensor->shape.dims()) proto->add_dims(dim);
  proto->set_raw_data(tensor->data, tensor->bytes());
  return value.name;
}

const Tensor* OnnxWriter::Variable(int i, DType type) {
  const Value& value = graph_.value(all_inputs_[i]);
  const Tensor* tensor =
      value.kind == Value::kVariable ? variables_.Find(value.name) : nullptr;
  if (tensor != nullptr && tensor->dtype == type) return tensor;
  Fail(
      absl::StrCat("\"", value.name, "\" must be a parameter of ", Name(type)));
  return nullptr;
}

const float* OnnxWriter::Numbers(int i) {
  const Tensor* tensor = Variable(i, DType::kFloat);
  return tensor == nullptr ? nullptr : tensor->floats();
}

const Tensor* OnnxWriter::Int8Tensor(int i) {
  return Variable(i, DType::kInt8);
}

std::string OnnxWriter::Fresh(const std::string& op) {
  const std::string stem = absl::StrCat(node_->name, ".", op);
  const int count = used_[stem]++;
  return count == 0 ? stem : absl::StrCat(stem, ".", count);
}

std::string OnnxWriter::Emit(const std::string& op,
                             const std::vector<std::string>& in,
                             const std::vector<OnnxAttribute>& attributes,
                             int outputs) {
  onnx::NodeProto* made = proto_->add_node();
  const std::string name = Fresh(op);
  made->set_name(name);
  made->set_op_type(op);
  for (const std::string& input : in) made->add_input(input);
  for (const OnnxAttribute& attribute : attributes) {
    *made->add_attribute() = ToProto(attribute);
  }
  for (int i = 0; i < outputs; ++i) {
    made->add_output(i == 0 ? name : absl::StrCat(name, ":", i));
  }
  return name;
}

std::string OnnxWriter::Scalar(float value) { return Floats({}, {value}); }

// A node rather than an initializer: those are what can be trained.
std::string OnnxWriter::Constant(const std::vector<int64_t>& shape,
                                 onnx::TensorProto::DataType type,
                                 const void* data, int64_t bytes) {
  onnx::NodeProto* made = proto_->add_node();
  const std::string name = Fresh("constant");
  made->set_name(name);
  made->set_op_type("Constant");
  made->add_output(name);
  onnx::AttributeProto* value = made->add_attribute();
  value->set_name("value");
  value->set_type(onnx::AttributeProto::TENSOR);
  onnx::TensorProto* tensor = value->mutable_t();
  tensor->set_data_type(type);
  tensor->mutable_dims()->Add(shape.begin(), shape.end());
  tensor->set_raw_data(data, bytes);
  return name;
}

std::string OnnxWriter::Floats(const std::vector<int64_t>& shape,
                               const std::vector<float>& values) {
  return Constant(shape, onnx::TensorProto::FLOAT, values.data(),
                  values.size() * sizeof(float));
}

std::string OnnxWriter::Int64s(const std::vector<int64_t>& values) {
  return Constant({static_cast<int64_t>(values.size())},
                  onnx::TensorProto::INT64, values.data(),
                  values.size() * sizeof(int64_t));
}

std::string OnnxWriter::Int32s(const std::vector<int64_t>& shape,
                               const std::vector<int32_t>& values) {
  return Constant(shape, onnx::TensorProto::INT32, values.data(),
                  values.size() * sizeof(int32_t));
}

std::string OnnxWriter::Int8s(const Tensor& tensor) {
  return Constant(tensor.shape.dims(), onnx::TensorProto::INT8, tensor.data,
                  tensor.bytes());
}

std::string OnnxWriter::Uint8(uint8_t value) {
  return Constant({}, onnx::TensorProto::UINT8, &value, 1);
}

std::string OnnxWriter::Activate(const std::string& x,
                                 op::Activation activation, float slope) {
  switch (activation) {
    case op::LINEAR:
      return x;
    case op::SIGMOID:
      return Emit("Sigmoid", {x});
    case op::TANH:
      return Emit("Tanh", {x});
    case op::RELU:
      return Emit("Relu", {x});
    case op::LEAKY_RELU:
      return Emit("LeakyRelu", {x}, {{"alpha", slope}});
    case op::GELU: {
      // Written as PyTorch does; ONNX has no operator for it before opset 20.
      const std::string erf =
          Emit("Erf", {Emit("Div", {x, Scalar(1.41421356f)})});
      return Emit("Mul", {Emit("Mul", {x, Emit("Add", {erf, Scalar(1)})}),
                          Scalar(0.5f)});
    }
  }
  return x;
}

std::string OnnxWriter::Reshape(const std::string& x, const Shape& to) {
  std::vector<int64_t> dims = to.dims();
  for (int64_t& dim : dims) {
    if (dim < 0) dim = -1;  // the batch, which ONNX then finds
  }
  return Emit("Reshape", {x, Int64s(dims)});
}

std::string OnnxWriter::Transpose(const std::string& x,
                                  const std::vector<int64_t>& perm) {
  return Emit("Transpose", {x}, {{"perm", perm}});
}

std::string OnnxWriter::Slice(const std::string& x, int64_t axis, int64_t begin,
                              int64_t end) {
  return Emit("Slice", {x, Int64s({begin}), Int64s({end}), Int64s({axis})});
}

std::string OnnxWriter::Sum(const std::string& x, int64_t axis, bool keep) {
  return Emit("ReduceSum", {x, Int64s({axis})},
              {{"keepdims", int64_t{keep ? 1 : 0}}});
}

std::string OnnxWriter::Unsqueeze(const std::string& x,
                                  const std::vector<int64_t>& axes) {
  return Emit("Unsqueeze", {x, Int64s(axes)});
}

std::string OnnxWriter::Cast(const std::string& x,
                             onnx::TensorProto::DataType type) {
  return Emit("Cast", {x}, {{"to", static_cast<int64_t>(type)}});
}

std::vector<std::string> OnnxWriter::Fail(const std::string& text) {
  if (status_.ok()) {
    status_ = absl::UnimplementedError(
        absl::StrCat(node_->location.Prefix(), "node \"", node_->name,
                     "\": ", node_->op->name(), " can't go to ONNX: ", text));
  }
  return {};
}

}  // namespace tamer
