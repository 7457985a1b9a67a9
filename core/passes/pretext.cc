#include "core/passes/copy.h"
#include "core/passes/pretrain.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/pretrain.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// A linear layer of `units` over the node's output.
std::string AddLinearHead(PretrainBuilder& builder, const std::string& node,
                          int64_t units) {
  op::Dense head;
  head.set_units(units);
  std::string value = node;
  if (builder.graph().value(builder.graph().FindValue(node)).type.shape.rank() >
      2) {
    value = builder.AddNamed("pretext/flat", op::Flatten(), {node});
  }
  return builder.AddNamed(kPretextHead, head, {value});
}

// The mean squared error over the hidden elements alone.
void AddMaskedLoss(PretrainBuilder& builder, const std::string& node,
                   const std::string& input, float mask) {
  const Graph& graph = builder.graph();
  const int64_t width =
      -graph.value(graph.FindValue(input)).type.shape.elements();
  const auto flat = [&](const std::string& name, const std::string& value) {
    return builder.AddNamed(name, op::Flatten(), {value});
  };
  const std::string target = flat("pretext/target", input);
  const std::string hidden = flat("pretext/hidden", "noisy:1");
  const std::string head = AddLinearHead(builder, node, width);
  builder.AddNamed(
      "pretext/error", op::MeanSquaredError(),
      {builder.AddNamed("pretext/guess", op::Mul(), {head, hidden}),
       builder.AddNamed("pretext/truth", op::Mul(), {target, hidden})});
  op::Scale scale;
  scale.set_factor(1 / mask);
  builder.AddNamed("loss", scale, {"pretext/error"});
}

void AddClassLoss(PretrainBuilder& builder, const std::string& node,
                  int64_t classes, const std::string& labels) {
  const std::string head = AddLinearHead(builder, node, classes);
  builder.AddNamed("loss", op::SoftmaxCrossEntropy(), {head, labels});
  builder.AddNamed("accuracy", op::Accuracy(), {head, labels});
}

}  // namespace

absl::StatusOr<Graph> PretrainByPretext(const Graph& network,
                                        const PretrainLayer& layer,
                                        const SolverDef& solver) {
  const std::string& node = layer.node();
  TAMER_ASSIGN_OR_RETURN(const std::string input, OnlyInput(network));
  CopyOptions options;
  CorruptionDef corruption;
  if (layer.has_rotation()) {
    options.through_value = input;
    options.through = ThroughNode("turned", op::Rotate());
  } else if (layer.has_masked()) {
    corruption.set_mask(layer.masked().mask());
  }
  auto copy = layer.has_masked()
                  ? CopyCorrupted(network, node, input, corruption, false)
                  : CopyNeeded(network, {node}, options, nullptr);
  TAMER_RETURN_IF_ERROR(copy.status());
  PretrainBuilder builder(*std::move(copy), "pretext", node);
  std::vector<std::string> outputs = {"loss", "accuracy"};
  if (layer.has_masked()) {
    AddMaskedLoss(builder, node, input, layer.masked().mask());
    outputs = {"loss"};
  } else if (layer.has_rotation()) {
    AddClassLoss(builder, node, 4, "turned:1");
  } else {
    if (layer.labels().classes() < 2) {
      return Invalid("labels: classes is ", layer.labels().classes(),
                     "; it must be at least 2");
    }
    const Shape& shape = network.value(network.inputs()[0]).type.shape;
    TAMER_RETURN_IF_ERROR(
        builder.graph()
            .AddInput("labels", {DType::kInt32, Shape({shape.dim(0)})})
            .status());
    AddClassLoss(builder, node, layer.labels().classes(), "labels");
  }
  return builder.FinishTrunk(solver, outputs);
}

}  // namespace tamer
