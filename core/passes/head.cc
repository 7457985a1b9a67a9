#include "core/passes/head.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "proto/ops/ctc.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/prompt.pb.h"
#include "proto/ops/sequence_loss.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/triplet.pb.h"

namespace tamer {
namespace {

absl::StatusOr<std::string> FindPrediction(const Graph& graph,
                                           const FinetuneDef& finetune) {
  const std::vector<std::string> outputs = OutputNames(graph);
  if (!finetune.has_output()) {
    if (outputs.size() == 1) return outputs[0];
    return Invalid("finetune: the network has ", outputs.size(),
                   " outputs; say by output: which the loss sees (",
                   absl::StrJoin(outputs, ", "), ")");
  }
  if (graph.FindValue(finetune.output()) >= 0) return finetune.output();
  std::vector<std::string> names;
  for (const Value& value : graph.values()) names.push_back(value.name);
  return Invalid("finetune: output names no value \"", finetune.output(), "\"",
                 DidYouMean(finetune.output(), names));
}

// The network's own input, in the prediction's shape.
absl::StatusOr<std::string> InputAsTarget(Graph& graph,
                                          const std::string& prediction) {
  if (graph.inputs().size() != 1) {
    return Invalid("finetune: target: INPUT needs a network with one input, ",
                   "not ", graph.inputs().size());
  }
  const Value& input = graph.value(graph.inputs()[0]);
  const Value& output = graph.value(graph.FindValue(prediction));
  if (input.type == output.type) return input.name;
  if (input.type.shape.elements() != output.type.shape.elements()) {
    return Invalid("finetune: target: INPUT: the input is ",
                   input.type.ToString(), ", but \"", prediction, "\" is ",
                   output.type.ToString());
  }
  TAMER_RETURN_IF_ERROR(
      graph.AddNode("targets", op::ReshapeLike(), {input.name, prediction})
          .status());
  return std::string("targets");
}

// Each token's successor, where one is asked for.
absl::StatusOr<std::string> NextTokens(Graph& graph,
                                       const FinetuneDef& finetune,
                                       const std::string& prediction) {
  const Shape& rows = graph.value(graph.FindValue(prediction)).type.shape;
  std::string tokens;
  for (ValueId id : graph.inputs()) {
    const Value& input = graph.value(id);
    if (input.type.dtype == DType::kInt32 && input.type.shape.rank() == 2) {
      tokens = input.name;
      if (rows.rank() != 3 || rows.dim(1) != input.type.shape.dim(1)) {
        return Invalid("finetune: target: NEXT_TOKEN: the tokens are ",
                       input.type.ToString(), ", but \"", prediction, "\" is ",
                       rows.ToString(), "; it must be logits for each token");
      }
    }
  }
  if (tokens.empty()) {
    return Invalid(
        "finetune: target: NEXT_TOKEN needs a network with an input ",
        "of tokens, INT32 [B, T]");
  }
  TAMER_RETURN_IF_ERROR(
      graph.AddNode("next_tokens", op::ShiftTokens(), {tokens}).status());
  if (!finetune.has_prompt_end()) return std::string("next_tokens");
  op::IgnorePrompt ignore;
  ignore.set_separator(finetune.prompt_end());
  auto answers = graph.AddNode("answers", ignore, {"next_tokens", tokens});
  if (!answers.ok()) return Annotate(answers.status(), "finetune: prompt_end");
  return std::string("answers");
}

absl::StatusOr<std::string> AddTarget(Graph& graph, const FinetuneDef& finetune,
                                      bool labels,
                                      const std::string& prediction) {
  if (finetune.target() == FinetuneDef::INPUT) {
    return InputAsTarget(graph, prediction);
  }
  if (finetune.target() == FinetuneDef::NEXT_TOKEN) {
    if (!labels) {
      return Invalid(
          "finetune: target: NEXT_TOKEN goes with a loss that takes ",
          "labels, as SequenceCrossEntropy");
    }
    return NextTokens(graph, finetune, prediction);
  }
  const TensorType type = graph.value(graph.FindValue(prediction)).type;
  TensorType target = type;
  if (labels) {
    if (type.shape.rank() < 1) return Invalid("finetune: a loss needs a batch");
    // One for each row of the prediction: of a sequence, one for each step.
    std::vector<int64_t> rows = type.shape.dims();
    if (rows.size() > 1) rows.pop_back();
    target = {DType::kInt32, Shape(std::move(rows))};
  }
  const std::string name = labels ? "labels" : "targets";
  TAMER_RETURN_IF_ERROR(
      Annotate(graph.AddInput(name, target).status(), "finetune"));
  return name;
}

// A loss has a scalar and its gradient as outputs, and no parameters.
absl::Status CheckIsLoss(const Graph& graph, const Node& node) {
  if (node.outputs.size() == 2 && node.variables.empty() &&
      graph.value(node.outputs[0]).type == TensorType()) {
    return absl::OkStatus();
  }
  return Invalid("finetune: ", node.op->name(), " is not a loss; one is ",
                 "SoftmaxCrossEntropy");
}

absl::StatusOr<std::string> AddMetric(Graph& graph,
                                      const google::protobuf::Any& any,
                                      bool labels,
                                      const std::string& prediction,
                                      const std::string& target) {
  auto metric = UnpackOp(any, graph.registry());
  if (!metric.ok()) return Annotate(metric.status(), "finetune: metric");
  const Op& op = *graph.registry().FindBySchema(*(*metric)->GetDescriptor());
  if (op.TakesLabels() != labels) {
    return Invalid("finetune: metric: ", op.name(), " compares with ",
                   op.TakesLabels() ? "labels" : "values",
                   ", but the loss with ", labels ? "labels" : "values");
  }
  const std::string name = MetricName(any);
  auto node = graph.AddNode(name, **metric, {prediction, target});
  if (!node.ok()) return Annotate(node.status(), "finetune: metric");
  const std::vector<ValueId>& outputs = graph.node(*node).outputs;
  if (outputs.empty() || graph.value(outputs[0]).type != TensorType()) {
    return Invalid("finetune: metric: ", op.name(),
                   " is not a metric: it doesn't give one number");
  }
  return name;
}

// Whether a loss's labels are each the class of a row of the prediction.
bool NamesClasses(const OpParams& loss) {
  const google::protobuf::Descriptor* type = loss.GetDescriptor();
  return type != op::Ctc::descriptor() &&
         type != op::BatchHardTriplet::descriptor();
}

}  // namespace

std::string MetricName(const google::protobuf::Any& metric) {
  const std::string& url = metric.type_url();
  return absl::AsciiStrToLower(url.substr(url.rfind('/') + 1));
}

absl::StatusOr<Head> AddHead(Graph& graph, const FinetuneDef& finetune,
                             bool mixed) {
  if (!finetune.has_loss()) {
    return Invalid("finetune has no loss; add ",
                   "loss { [op/SoftmaxCrossEntropy] {} }");
  }
  TAMER_ASSIGN_OR_RETURN(const std::string prediction,
                         FindPrediction(graph, finetune));
  auto loss = UnpackOp(finetune.loss(), graph.registry());
  if (!loss.ok()) return Annotate(loss.status(), "finetune: loss");
  const bool labels =
      graph.registry().FindBySchema(*(*loss)->GetDescriptor())->TakesLabels();
  TAMER_ASSIGN_OR_RETURN(const std::string target,
                         AddTarget(graph, finetune, labels, prediction));
  // Metrics go on comparing with the sample's own label.
  std::string compared = target;
  if (mixed && target == "labels") {
    compared = "targets";
    const TensorType type = graph.value(graph.FindValue(prediction)).type;
    TAMER_RETURN_IF_ERROR(
        Annotate(graph.AddInput(compared, type).status(), "finetune"));
  }
  auto node = graph.AddNode("loss", **loss, {prediction, compared});
  if (!node.ok()) {
    return Annotate(node.status(), compared == target
                                       ? "finetune"
                                       : "finetune: with augment: mixup");
  }
  TAMER_RETURN_IF_ERROR(CheckIsLoss(graph, graph.node(*node)));
  Head head{"loss", {"loss"}};
  if (labels && NamesClasses(**loss)) {
    TAMER_RETURN_IF_ERROR(
        graph.AddNode("accuracy", op::Accuracy(), {prediction, target})
            .status());
    head.outputs.push_back("accuracy");
  }
  for (const auto& metric : finetune.metric()) {
    TAMER_ASSIGN_OR_RETURN(
        head.outputs.emplace_back(),
        AddMetric(graph, metric, labels, prediction, target));
  }
  return head;
}

}  // namespace tamer
