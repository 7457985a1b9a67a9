#include "core/passes/copy.h"
#include "core/passes/pretrain.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/embedding.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/sequence_loss.pb.h"
#include "proto/ops/token_noise.pb.h"

namespace tamer {
namespace {

// What the two tasks' messages have in common.
struct Task {
  const char* name;
  int64_t vocabulary;  // 0: the embedding's
  bool tied;
};

Task TaskOf(const PretrainLayer& layer) {
  if (layer.has_causal()) {
    return {"causal", layer.causal().vocabulary(), layer.causal().tied()};
  }
  const MaskedTokensDef& def = layer.masked_tokens();
  return {"masked_tokens", def.vocabulary(), def.tied()};
}

// The Embedding that reads the tokens, or null.
const Node* EmbeddingOf(const Graph& network, const std::string& tokens) {
  for (const Node& node : network.nodes()) {
    if (node.params->GetDescriptor() == op::Embedding::descriptor() &&
        network.value(node.inputs[0]).name == tokens) {
      return &node;
    }
  }
  return nullptr;
}

absl::Status CheckTask(const Graph& network, const std::string& tokens,
                       const Node* embedding, const std::string& node,
                       Task* task) {
  const TensorType& type = network.value(network.FindValue(tokens)).type;
  if (type.dtype != DType::kInt32 || type.shape.rank() != 2) {
    return Invalid(task->name, ": the network's input \"", tokens, "\" is ",
                   type.ToString(), "; tokens are INT32 [B, T]");
  }
  if (embedding == nullptr && (task->vocabulary == 0 || task->tied)) {
    return Invalid(task->name, ": no op/Embedding reads \"", tokens,
                   "\"; give vocabulary, and no tied head");
  }
  if (task->vocabulary == 0) {
    task->vocabulary =
        static_cast<const op::Embedding&>(*embedding->params).vocabulary();
  }
  if (task->vocabulary < 2 || task->vocabulary > INT32_MAX) {
    return Invalid(task->name, ": vocabulary is ", task->vocabulary,
                   "; it must be 2 to ", INT32_MAX);
  }
  const Shape& code = network.value(network.FindValue(node)).type.shape;
  if (code.rank() != 3 || code.dim(1) != type.shape.dim(1)) {
    return Invalid(task->name, ": its output is ", code.ToString(),
                   "; it must be a vector for each token, [B, ",
                   type.shape.dim(1), ", width]");
  }
  return absl::OkStatus();
}

// Logits [B, T, vocabulary]. A tied head is x E' (Press and Wolf 2017), with a
// bias of its own.
std::string AddHead(PretrainBuilder& builder, const std::string& node,
                    const Node* embedding, const Task& task) {
  if (!task.tied) {
    op::Dense head;
    head.set_units(task.vocabulary);
    return builder.AddNamed(kPretextHead, head, {node});
  }
  op::Affine head;
  head.set_transpose_weight(true);
  const std::string weight =
      embedding->share_with.empty() ? embedding->name : embedding->share_with;
  return builder.AddNamed(
      kPretextHead, head,
      {node, WeightOf(weight),
       builder.AddParameter("pretext/bias", {task.vocabulary})});
}

}  // namespace

absl::StatusOr<Graph> PretrainLanguage(const Graph& network,
                                       const PretrainLayer& layer,
                                       const SolverDef& solver) {
  const std::string& node = layer.node();
  TAMER_ASSIGN_OR_RETURN(const std::string tokens, OnlyInput(network));
  const Node* embedding = EmbeddingOf(network, tokens);
  Task task = TaskOf(layer);
  TAMER_RETURN_IF_ERROR(CheckTask(network, tokens, embedding, node, &task));
  CopyOptions options;
  if (layer.has_masked_tokens()) {
    op::MaskTokens mask;
    mask.set_share(layer.masked_tokens().mask());
    mask.set_vocabulary(static_cast<int32_t>(task.vocabulary));
    mask.set_mask_token(layer.masked_tokens().mask_token());
    options.through_value = tokens;
    options.through = ThroughNode("noisy", mask);
  }
  TAMER_ASSIGN_OR_RETURN(Graph copy,
                         CopyNeeded(network, {node}, options, nullptr));
  PretrainBuilder builder(std::move(copy), "pretext", node);
  const std::string logits = AddHead(builder, node, embedding, task);
  const std::string targets =
      layer.has_masked_tokens()
          ? "noisy:1"
          : builder.AddNamed("pretext/next", op::ShiftTokens(), {tokens});
  builder.AddNamed("loss", op::SequenceCrossEntropy(), {logits, targets});
  builder.AddNamed("accuracy", op::Accuracy(), {logits, targets});
  return builder.FinishTrunk(solver, {"loss", "accuracy"});
}

}  // namespace tamer
