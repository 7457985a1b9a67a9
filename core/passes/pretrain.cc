#include "core/base/suggest.h"
#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

constexpr int kMostSteps = 1000;

// Builds the contrastive-divergence step for one Dense node.
class RbmBuilder {
 public:
  RbmBuilder(Graph graph, const std::string& node, const RbmDef& rbm)
      : graph_(std::move(graph)),
        node_(node),
        rbm_(rbm),
        visible_(
            graph_.value(graph_.node(graph_.FindNode(node)).inputs[0]).name),
        weight_(node + "/weight"),
        hidden_bias_(node + "/bias"),
        visible_bias_(node + "/visible_bias") {}

  absl::StatusOr<Graph> Build(const SolverDef& solver);

 private:
  // Adds node "rbm/NODE/SUFFIX" and returns its name.
  std::string Add(const std::string& suffix, const OpParams& op,
                  const std::vector<std::string>& inputs) {
    const std::string name = absl::StrCat("rbm/", node_, "/", suffix);
    if (status_.ok()) status_ = graph_.AddNode(name, op, inputs).status();
    return name;
  }

  // The Gibbs chain: `visible` and `hidden` get its end, as probabilities.
  void AddChain(std::string* visible, std::string* hidden);
  std::map<std::string, std::string> AddStatistics(const std::string& visible,
                                                   const std::string& hidden);

  Graph graph_;
  const std::string node_;
  const RbmDef& rbm_;
  const std::string visible_, weight_, hidden_bias_, visible_bias_;
  absl::Status status_;
};

void RbmBuilder::AddChain(std::string* visible, std::string* hidden) {
  op::Affine down, up;
  down.set_transpose_weight(true);
  down.set_activation(rbm_.visible() == RbmDef::GAUSSIAN ? op::LINEAR
                                                         : op::SIGMOID);
  up.set_activation(op::SIGMOID);
  *hidden = node_;
  for (int step = 1; step <= rbm_.cd_steps(); ++step) {
    const std::string sample =
        Add(absl::StrCat("sample", step), op::Sample(), {*hidden});
    *visible = Add(absl::StrCat("visible", step), down,
                   {sample, weight_, visible_bias_});
    *hidden = Add(absl::StrCat("hidden", step), up,
                  {*visible, weight_, hidden_bias_});
  }
}

// Gradients of -log likelihood, as contrastive divergence has them:
//   dW = (v_k' h_k - v_0' h_0) / B, and so for the biases.
// Both products in one, by stacking [v_0; v_k] and [-h_0; h_k] / B.
std::map<std::string, std::string> RbmBuilder::AddStatistics(
    const std::string& visible, const std::string& hidden) {
  op::Scale minus, plus;
  minus.set_factor(-1);
  minus.set_divide_by_batch(true);
  plus.set_divide_by_batch(true);
  op::Concat stack;
  stack.set_axis(0);
  op::MatMul product;
  product.set_transpose_a(true);
  op::Reduce sum;
  sum.add_axis(0);
  const std::string h_data = Add("hidden_data", minus, {node_});
  const std::string h_model = Add("hidden_model", plus, {hidden});
  const std::string h = Add("hidden_stack", stack, {h_data, h_model});
  const std::string v = Add("visible_stack", stack, {visible_, visible});
  const std::string difference =
      Add("visible_difference", op::Sub(), {visible, visible_});
  const std::string scaled = Add("visible_scaled", plus, {difference});
  return {{weight_, Add("weight_gradient", product, {v, h})},
          {hidden_bias_, Add("bias_gradient", sum, {h})},
          {visible_bias_, Add("visible_bias_gradient", sum, {scaled})}};
}

absl::StatusOr<Graph> RbmBuilder::Build(const SolverDef& solver) {
  op::Parameter bias;
  bias.add_shape(graph_.value(graph_.FindValue(visible_)).type.shape.dim(1));
  bias.set_decay(false);
  TAMER_RETURN_IF_ERROR(graph_.AddNode(visible_bias_, bias, {}).status());
  std::string visible, hidden;
  AddChain(&visible, &hidden);
  const auto gradients = AddStatistics(visible, hidden);
  TAMER_RETURN_IF_ERROR(status_);
  TAMER_RETURN_IF_ERROR(graph_
                            .AddNode("reconstruction_error",
                                     op::MeanSquaredError(),
                                     {visible, visible_})
                            .status());
  TAMER_RETURN_IF_ERROR(AddUpdates(graph_, gradients, solver));
  TAMER_RETURN_IF_ERROR(graph_.AddOutput("reconstruction_error"));
  return std::move(graph_);
}

absl::Status CheckLayer(const Graph& network, const PretrainLayer& layer) {
  const std::string where =
      absl::StrCat("pretrain: layer \"", layer.node(), "\": ");
  const NodeId id = network.FindNode(layer.node());
  if (id < 0) {
    std::vector<std::string> names;
    for (const Node& node : network.nodes()) names.push_back(node.name);
    return Invalid(where, "there is no such node",
                   DidYouMean(layer.node(), names));
  }
  const Node& node = network.node(id);
  if (node.params->GetDescriptor() != op::Dense::descriptor()) {
    return Invalid(where, "it is a ", node.op->name(),
                   ", but an RBM learns a Dense");
  }
  const auto& dense = static_cast<const op::Dense&>(*node.params);
  if (dense.activation() != op::SIGMOID || !dense.bias()) {
    return Invalid(where, "an RBM needs a Dense with activation: SIGMOID and ",
                   "a bias");
  }
  if (!node.share_with.empty()) {
    return Invalid(where, "it shares the parameters of \"", node.share_with,
                   "\"; pretrain that node");
  }
  const Shape& visible = network.value(node.inputs[0]).type.shape;
  if (visible.rank() != 2) {
    return Invalid(where, "an RBM needs an input [B, width], not ",
                   visible.ToString(), "; put op/Flatten before it");
  }
  if (layer.rbm().cd_steps() < 1 || layer.rbm().cd_steps() > kMostSteps) {
    return Invalid(where, "cd_steps is ", layer.rbm().cd_steps(),
                   "; it must be 1 to ", kMostSteps);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Graph> Pretrain(const Graph& network, const PretrainLayer& layer,
                               const SolverDef& solver) {
  TAMER_RETURN_IF_ERROR(CheckLayer(network, layer));
  CopyOptions options;
  options.for_prediction = true;
  TAMER_ASSIGN_OR_RETURN(Graph trunk,
                         CopyNeeded(network, {layer.node()}, options, nullptr));
  return RbmBuilder(std::move(trunk), layer.node(), layer.rbm()).Build(solver);
}

}  // namespace tamer
