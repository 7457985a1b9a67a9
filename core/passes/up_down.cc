#include "core/passes/pretrain.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// Names as in Hinton, Osindero and Teh 2006, appendix B: the wake phase goes up
// by the recognition weights (the network's own) and teaches the generative
// ones; the top two layers are an RBM that learns by contrastive divergence;
// the sleep phase goes down from its chain's end by the generative weights and
// teaches the recognition ones.
class UpDownBuilder {
 public:
  UpDownBuilder(Graph trunk, std::vector<std::string> stack, int cd_steps)
      : builder_(std::move(trunk), "up_down", stack.back()),
        stack_(std::move(stack)),
        cd_steps_(cd_steps) {
    const Graph& graph = builder_.graph();
    data_ = graph.value(graph.node(graph.FindNode(stack_[0])).inputs[0]).name;
  }

  absl::StatusOr<Graph> Build(const SolverDef& solver);

 private:
  std::string Affine(const std::string& name, const std::string& x,
                     const std::string& weight, bool transpose,
                     const std::string& bias) {
    op::Affine affine;
    affine.set_activation(op::SIGMOID);
    affine.set_transpose_weight(transpose);
    return builder_.Add(name, affine, {x, weight, bias});
  }
  std::string Sample(const std::string& name, const std::string& p) {
    return builder_.Add(name, op::Sample(), {p});
  }
  // The delta rule: to make `wanted` of `from`, instead of `seen`.
  void Teach(const std::string& name, const std::string& weight,
             const std::string& bias, const std::string& from,
             const std::string& wanted, const std::string& seen);
  void Wake();
  void LearnTop();
  void Sleep();

  PretrainBuilder builder_;
  const std::vector<std::string> stack_;
  const int cd_steps_;
  std::string data_;
  std::vector<std::string>
      states_;                  // below each node, sampled in the wake phase
  std::string dream_;           // below the top node, at the chain's end
  std::string reconstruction_;  // of the data, by the wake phase
  std::map<std::string, std::string> gradients_;
};

void UpDownBuilder::Teach(const std::string& name, const std::string& weight,
                          const std::string& bias, const std::string& from,
                          const std::string& wanted, const std::string& seen) {
  op::Scale scale;
  scale.set_divide_by_batch(true);
  op::MatMul product;
  product.set_transpose_a(true);
  op::Reduce sum;
  sum.add_axis(0);
  const std::string error = builder_.Add(
      name + "/error", scale,
      {builder_.Add(name + "/difference", op::Sub(), {seen, wanted})});
  gradients_[weight] = builder_.Add(name + "/weight", product, {from, error});
  gradients_[bias] = builder_.Add(name + "/bias", sum, {error});
}

void UpDownBuilder::Wake() {
  states_.push_back(data_);
  for (size_t i = 0; i + 1 < stack_.size(); ++i) {
    const std::string& node = stack_[i];
    const std::string p =
        Affine("wake/" + node, states_[i], WeightOf(node), false, BiasOf(node));
    states_.push_back(Sample("wake_state/" + node, p));
    const std::string guess =
        Affine("wake_guess/" + node, states_[i + 1], GenerativeWeightOf(node),
               false, VisibleBiasOf(node));
    if (i == 0) reconstruction_ = guess;
    Teach("wake_delta/" + node, GenerativeWeightOf(node), VisibleBiasOf(node),
          states_[i + 1], states_[i], guess);
  }
}

void UpDownBuilder::LearnTop() {
  const std::string& top = stack_.back();
  const auto up = [&](const std::string& name, const std::string& v) {
    return Affine(name, v, WeightOf(top), false, BiasOf(top));
  };
  const std::string& v0 = states_.back();
  const std::string h0 = up("top_hidden0", v0);
  std::string v = v0, h = h0;
  for (int step = 1; step <= cd_steps_; ++step) {
    const std::string p = Affine(absl::StrCat("top_visible", step),
                                 Sample(absl::StrCat("top_sample", step), h),
                                 WeightOf(top), true, VisibleBiasOf(top));
    if (stack_.size() == 1 && step == 1) reconstruction_ = p;
    v = Sample(absl::StrCat("top_state", step), p);
    h = up(absl::StrCat("top_hidden", step), v);
  }
  dream_ = v;
  op::Scale minus, plus;
  minus.set_factor(-1);
  minus.set_divide_by_batch(true);
  plus.set_divide_by_batch(true);
  op::MatMul product;
  product.set_transpose_a(true);
  op::Concat stack;
  stack.set_axis(0);
  op::Reduce sum;
  sum.add_axis(0);
  const std::string hs =
      builder_.Add("top_hidden_stack", stack,
                   {builder_.Add("top_hidden_data", minus, {h0}),
                    builder_.Add("top_hidden_model", plus, {h})});
  const std::string vs = builder_.Add("top_visible_stack", stack, {v0, v});
  const std::string difference = builder_.Add(
      "top_visible_error", plus,
      {builder_.Add("top_visible_difference", op::Sub(), {v, v0})});
  gradients_[WeightOf(top)] = builder_.Add("top_weight", product, {vs, hs});
  gradients_[BiasOf(top)] = builder_.Add("top_bias", sum, {hs});
  gradients_[VisibleBiasOf(top)] =
      builder_.Add("top_visible_bias", sum, {difference});
}

void UpDownBuilder::Sleep() {
  std::string state = dream_;
  for (size_t i = stack_.size() - 1; i-- > 0;) {
    const std::string& node = stack_[i];
    const std::string p =
        Affine("sleep/" + node, state, GenerativeWeightOf(node), false,
               VisibleBiasOf(node));
    // The data are seen as probabilities, so the bottom dreams them.
    const std::string below = i == 0 ? p : Sample("sleep_state/" + node, p);
    const std::string guess = Affine("sleep_guess/" + node, below,
                                     WeightOf(node), false, BiasOf(node));
    Teach("sleep_delta/" + node, WeightOf(node), BiasOf(node), below, state,
          guess);
    state = below;
  }
}

absl::StatusOr<Graph> UpDownBuilder::Build(const SolverDef& solver) {
  for (const std::string& node : stack_) {
    const Graph& graph = builder_.graph();
    const int64_t units = WidthOf(graph, node);
    const int64_t width =
        graph.value(graph.FindValue(WeightOf(node))).type.shape.dim(0);
    builder_.AddParameter(VisibleBiasOf(node), {width});
    if (node != stack_.back()) {
      builder_.AddParameter(GenerativeWeightOf(node), {units, width});
    }
  }
  Wake();
  LearnTop();
  Sleep();
  builder_.AddNamed("reconstruction_error", op::MeanSquaredError(),
                    {reconstruction_, data_});
  return builder_.Finish(gradients_, solver, {"reconstruction_error"});
}

}  // namespace

absl::StatusOr<Graph> PretrainUpDown(Graph trunk, const PretrainLayer& layer,
                                     const SolverDef& solver) {
  TAMER_ASSIGN_OR_RETURN(std::vector<std::string> stack,
                         StackBelow(trunk, layer.node()));
  return UpDownBuilder(std::move(trunk), std::move(stack),
                       layer.up_down().cd_steps())
      .Build(solver);
}

}  // namespace tamer
