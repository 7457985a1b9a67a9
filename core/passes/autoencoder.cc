#include "core/passes/pretrain.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/pretrain.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

op::Activation ActivationOf(const Graph& graph, const std::string& node) {
  const auto& params = *graph.node(graph.FindNode(node)).params;
  return static_cast<const op::Dense&>(params).activation();
}

// What stands below `node` in the trunk.
std::string InputOf(const Graph& graph, const std::string& node) {
  return graph.value(graph.node(graph.FindNode(node)).inputs[0]).name;
}

// The decoder of `node`, which reads `code`; its variables join `trained`.
std::string AddDecoder(PretrainBuilder& builder, const std::string& node,
                       Decoder kind, int64_t width, op::Activation activation,
                       const std::string& code,
                       std::vector<std::string>* trained) {
  op::Affine affine;
  affine.set_activation(activation);
  affine.set_transpose_weight(kind == TIED);
  std::string weight = WeightOf(node);
  if (kind == FREE) {
    weight = builder.AddParameter(DecoderWeightOf(node),
                                  {WidthOf(builder.graph(), node), width});
    trained->push_back(weight);
  }
  const std::string bias = builder.AddParameter(VisibleBiasOf(node), {width});
  trained->push_back(bias);
  return builder.AddNamed("decoder/" + node, affine, {code, weight, bias});
}

// How well `logits` (or for real input the numbers themselves) restore
// `visible`: node "reconstruction_error", and the loss, called `loss`.
void AddRestorationLoss(PretrainBuilder& builder, VisibleUnits units,
                        const std::string& decoded, const std::string& visible,
                        const std::string& loss) {
  if (units == GAUSSIAN) {
    builder.AddNamed("reconstruction_error", op::MeanSquaredError(),
                     {decoded, visible});
    op::Scale scale;
    scale.set_factor(0.5f *
                     static_cast<float>(WidthOf(builder.graph(), visible)));
    builder.AddNamed(loss, scale, {"reconstruction_error"});
    return;
  }
  builder.AddNamed(loss, op::SigmoidCrossEntropy(), {decoded, visible});
  const std::string restored =
      builder.AddNamed("reconstruction", op::Sigmoid(), {decoded});
  builder.AddNamed("reconstruction_error", op::MeanSquaredError(),
                   {restored, visible});
}

// The squared Frobenius norm of the Jacobian of h = s(x W + b), mean over the
// minibatch: sum over units of mean((h (1 - h))^2) * |column of W|^2.
std::string AddContraction(PretrainBuilder& builder, const std::string& node,
                           float weight) {
  op::Reduce mean, sum;
  mean.set_kind(op::Reduce::MEAN);
  mean.add_axis(0);
  sum.add_axis(0);
  const auto square = [&](const std::string& name, const std::string& x) {
    return builder.Add(name, op::Mul(), {x, x});
  };
  const std::string slope =
      builder.Add("slope", op::Sub(), {node, square("activity_squared", node)});
  const std::string slopes =
      builder.Add("slope_mean", mean, {square("slope_squared", slope)});
  const std::string norms = builder.Add(
      "weight_norm", sum, {square("weight_squared", WeightOf(node))});
  const std::string norm =
      builder.Add("jacobian_norm", op::Reduce(),
                  {builder.Add("jacobian", op::Mul(), {slopes, norms})});
  op::Scale scale;
  scale.set_factor(weight);
  return builder.Add("contraction", scale, {norm});
}

absl::Status CheckVisible(VisibleUnits units) {
  if (units != RECTIFIED) return absl::OkStatus();
  return Invalid(
      "visible: RECTIFIED is for RBMs; an autoencoder restores such ",
      "input as GAUSSIAN");
}

}  // namespace

absl::StatusOr<Graph> PretrainAutoencoder(Graph trunk,
                                          const PretrainLayer& layer,
                                          const SolverDef& solver) {
  const AutoencoderDef& def = layer.autoencoder();
  const std::string& node = layer.node();
  TAMER_RETURN_IF_ERROR(CheckVisible(def.visible()));
  const std::string visible = InputOf(trunk, node);
  TAMER_ASSIGN_OR_RETURN(
      Graph graph, CopyCorrupted(trunk, node, visible, def.corruption(), true));
  PretrainBuilder builder(std::move(graph), "autoencoder", node);
  std::vector<std::string> trained = {WeightOf(node), BiasOf(node)};
  const std::string decoded =
      AddDecoder(builder, node, def.decoder(), WidthOf(trunk, visible),
                 op::LINEAR, node, &trained);
  std::vector<std::string> terms;
  if (def.has_sparsity()) {
    op::Sparsity sparsity;
    sparsity.set_target(def.sparsity().target());
    sparsity.set_cost(def.sparsity().cost());
    sparsity.set_decay(def.sparsity().decay());
    terms.push_back(builder.Add("sparsity", sparsity, {node}));
  }
  if (def.contraction() > 0) {
    terms.push_back(AddContraction(builder, node, def.contraction()));
  }
  const std::string restoration = terms.empty() ? "loss" : "restoration";
  AddRestorationLoss(builder, def.visible(), decoded, visible, restoration);
  if (!terms.empty()) {
    terms.insert(terms.begin(), restoration);
    builder.AddNamed("loss", op::Add(), terms);
  }
  return builder.FinishByLoss(trained, solver,
                              {"loss", "reconstruction_error"});
}

absl::StatusOr<Graph> PretrainUnrolled(Graph trunk, const PretrainLayer& layer,
                                       const SolverDef& solver) {
  const UnrolledDef& def = layer.unrolled();
  TAMER_RETURN_IF_ERROR(CheckVisible(def.visible()));
  TAMER_ASSIGN_OR_RETURN(const std::vector<std::string> stack,
                         StackBelow(trunk, layer.node()));
  const std::string visible = InputOf(trunk, stack.front());
  TAMER_ASSIGN_OR_RETURN(
      Graph graph,
      CopyCorrupted(trunk, layer.node(), visible, def.corruption(), true));
  PretrainBuilder builder(std::move(graph), "unrolled", layer.node());
  std::vector<std::string> trained;
  std::string code = layer.node();
  for (size_t i = stack.size(); i-- > 0;) {
    const std::string& node = stack[i];
    trained.push_back(WeightOf(node));
    trained.push_back(BiasOf(node));
    // Each decoder makes again what the node below made.
    const op::Activation activation =
        i == 0 ? op::LINEAR : ActivationOf(trunk, stack[i - 1]);
    code = AddDecoder(builder, node, def.decoder(),
                      WidthOf(trunk, InputOf(trunk, node)), activation, code,
                      &trained);
  }
  AddRestorationLoss(builder, def.visible(), code, visible, "loss");
  return builder.FinishByLoss(trained, solver,
                              {"loss", "reconstruction_error"});
}

}  // namespace tamer
