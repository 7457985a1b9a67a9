#include <onnx/checker.h>

#include <set>

#include "absl/strings/match.h"
#include "core/base/version.h"
#include "core/interchange/onnx.h"
#include "core/interchange/onnx_writer.h"
#include "core/train/files.h"

namespace tamer {
namespace {

constexpr char kBatch[] = "batch";

// Protobuf ends there.
constexpr int64_t kMostBytes = (int64_t{1} << 31) - 1;

onnx::TensorProto::DataType TypeOf(DType type) {
  switch (type) {
    case DType::kFloat:
      return onnx::TensorProto::FLOAT;
    case DType::kInt32:
      return onnx::TensorProto::INT32;
    case DType::kUint8:
      return onnx::TensorProto::UINT8;
    case DType::kInt8:
      return onnx::TensorProto::INT8;
  }
  return onnx::TensorProto::UNDEFINED;
}

void Describe(const Value& value, onnx::ValueInfoProto* info) {
  info->set_name(value.name);
  onnx::TypeProto::Tensor* tensor = info->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(TypeOf(value.type.dtype));
  onnx::TensorShapeProto* shape = tensor->mutable_shape();
  for (int64_t dim : value.type.shape.dims()) {
    auto* proto = shape->add_dim();
    if (dim == Shape::kBatch) {
      proto->set_dim_param(kBatch);
    } else if (dim < 0) {
      proto->set_dim_param(absl::StrCat(kBatch, "_x", -dim));
    } else {
      proto->set_dim_value(dim);
    }
  }
}

absl::Status CheckModel(const onnx::ModelProto& model) {
  try {
    onnx::checker::check_model(model);
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("ONNX's checker refuses what was made: ", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace

std::string WhyNotInOnnx(const std::string& op) {
  static const std::set<std::string> updates = {
      "Accumulate",    "AdaGrad",  "Adam",       "Assign", "ClipByNorm",
      "ClipByValue",   "Momentum", "RmsProp",    "Sgd",    "SumOfSquares",
      "BroadcastLike", "SumLike",  "Convolution"};
  static const std::set<std::string> losses = {"Accuracy",
                                               "BatchHardTriplet",
                                               "BitsPerToken",
                                               "Ctc",
                                               "CtcErrorRate",
                                               "InfoNce",
                                               "L1",
                                               "MeanSquaredError",
                                               "SequenceCrossEntropy",
                                               "TripletMargin",
                                               "SigmoidCrossEntropy",
                                               "SoftmaxCrossEntropy"};
  static const std::set<std::string> random = {
      "Corrupt",    "DropPath",    "Dropout",     "FreeEnergy", "IgnorePrompt",
      "MaskTokens", "PlaceTokens", "RandomKeep",  "RandomView", "RestoreTokens",
      "Rotate",     "Sample",      "ShiftTokens", "Sparsity"};
  if (absl::EndsWith(op, "Gradient") || updates.count(op) > 0) {
    return "it belongs to training; export the network or its product";
  }
  if (losses.count(op) > 0) {
    return "a loss or metric belongs to training; export the network or its "
           "product, and compare answers with labels there";
  }
  if (random.count(op) > 0) {
    return "it belongs to pretraining; export the network or its product";
  }
  if (op == "CachedAttention") {
    return "it belongs to generation, a token at a time; export the network "
           "itself, whose Attention reads whole texts";
  }
  return "";
}

absl::Status WriteOnnx(const std::string& path, const Graph& network,
                       const Variables& variables, const OnnxFacts& facts) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(kOnnxOpset);
  model.set_producer_name("tamer");
  model.set_producer_version(kVersion);
  for (const auto& fact : facts) {
    onnx::StringStringEntryProto* entry = model.add_metadata_props();
    entry->set_key(fact.first);
    entry->set_value(fact.second);
  }
  onnx::GraphProto* graph = model.mutable_graph();
  graph->set_name(network.name().empty() ? "network" : network.name());
  for (ValueId id : network.inputs()) {
    Describe(network.value(id), graph->add_input());
  }
  OnnxWriter writer(network, variables, graph);
  for (const Node& node : network.nodes()) {
    TAMER_RETURN_IF_ERROR(writer.Write(node));
  }
  for (ValueId id : network.outputs()) {
    Describe(network.value(id), graph->add_output());
  }
  if (model.ByteSizeLong() > static_cast<size_t>(kMostBytes)) {
    return Invalid(path, ": the network is larger than 2 GiB, which a file of ",
                   "ONNX cannot be; export safetensors");
  }
  TAMER_RETURN_IF_ERROR(Annotate(CheckModel(model), path));
  return ReplaceFile(path, model.SerializeAsString());
}

}  // namespace tamer
