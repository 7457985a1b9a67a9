#include <set>

#include "core/passes/passes.h"
#include "proto/ops/attention.pb.h"
#include "proto/ops/embedding.pb.h"

namespace tamer {
namespace {

// Ops that treat every position by itself.
bool ByPosition(const std::string& op) {
  static const auto* ops = new std::set<std::string>{
      "Dense",     "Affine",    "Bias",      "QuantizedDense",
      "Embedding", "LayerNorm", "RMSNorm",   "Add",
      "Sub",       "Mul",       "Scale",     "Sigmoid",
      "Tanh",      "Relu",      "LeakyRelu", "Gelu",
      "Elu",       "Selu",      "Swish",     "HardSwish",
      "Softplus",  "Softmax",   "LogSoftmax"};
  return ops->count(op) > 0;
}

template <typename Params>
const Params* Cast(const Node& node) {
  return node.params->GetDescriptor() == Params::descriptor()
             ? static_cast<const Params*>(node.params.get())
             : nullptr;
}

absl::Status AddDecoded(const Node& node, int64_t context,
                        std::vector<std::string> inputs, Graph* result) {
  if (const auto* attention = Cast<op::Attention>(node)) {
    if (!attention->causal() || inputs.size() != 1) {
      return Invalid(
          "only causal Attention with q, k and v in one input works position "
          "by position");
    }
    op::CachedAttention cached;
    *cached.mutable_attention() = *attention;
    cached.set_context(context);
    return result
        ->AddNode(node.name, cached, {inputs[0], kDecodePosition}, "",
                  node.location)
        .status();
  }
  if (const auto* positions = Cast<op::PositionEmbedding>(node)) {
    op::PositionEmbedding here = *positions;
    if (here.length() == 0) here.set_length(context);
    return result
        ->AddNode(node.name, here, {inputs[0], kDecodePosition},
                  node.share_with, node.location)
        .status();
  }
  if (!ByPosition(node.op->name())) {
    return Invalid("op ", node.op->name(),
                   " is not known to work position by position");
  }
  return result
      ->AddNode(node.name, *node.params, inputs, node.share_with, node.location)
      .status();
}

}  // namespace

absl::StatusOr<Graph> Decode(const Graph& network, int64_t tokens) {
  if (network.inputs().size() != 1) {
    return Invalid("a network that is to decode has one input, not ",
                   network.inputs().size());
  }
  const Value& input = network.value(network.inputs()[0]);
  const Shape& shape = input.type.shape;
  if (input.type.dtype != DType::kInt32 || shape.rank() != 2 ||
      shape.dim(0) != Shape::kBatch) {
    return Invalid("a network that is to decode reads tokens, INT32 [B, T], ",
                   "not ", input.type.ToString());
  }
  Graph result(&network.registry());
  result.set_name(network.name());
  TAMER_RETURN_IF_ERROR(
      result
          .AddInput(input.name, {DType::kInt32, Shape({shape.dim(0), tokens})})
          .status());
  TAMER_RETURN_IF_ERROR(
      result.AddInput(kDecodePosition, {DType::kInt32, Shape()}).status());
  for (const Node& node : network.nodes()) {
    std::vector<std::string> inputs;
    for (ValueId id : node.inputs) inputs.push_back(network.value(id).name);
    TAMER_RETURN_IF_ERROR(
        Annotate(AddDecoded(node, shape.dim(1), inputs, &result),
                 absl::StrCat("node \"", node.name, "\"")));
  }
  for (ValueId id : network.outputs()) {
    TAMER_RETURN_IF_ERROR(result.AddOutput(network.value(id).name));
  }
  return result;
}

}  // namespace tamer
