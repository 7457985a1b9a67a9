#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "core/passes/pretrain.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/pretrain.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

using Gradients = std::map<std::string, std::string>;

op::Scale ScaledBy(float factor, bool divide_by_batch) {
  op::Scale scale;
  scale.set_factor(factor);
  scale.set_divide_by_batch(divide_by_batch);
  return scale;
}

op::Reduce SumOverRows() {
  op::Reduce sum;
  sum.add_axis(0);
  return sum;
}

// Builds the contrastive-divergence step for one Dense node.
class RbmBuilder {
 public:
  RbmBuilder(Graph trunk, const std::string& node, const RbmDef& rbm)
      : builder_(std::move(trunk), "rbm", node),
        node_(node),
        rbm_(rbm),
        weight_(WeightOf(node)),
        hidden_bias_(BiasOf(node)),
        visible_bias_(VisibleBiasOf(node)) {
    const Graph& graph = builder_.graph();
    const Node& dense = graph.node(graph.FindNode(node));
    visible_ = graph.value(dense.inputs[0]).name;
    rectified_ =
        static_cast<const op::Dense&>(*dense.params).activation() == op::RELU;
  }

  absl::StatusOr<Graph> Build(const SolverDef& solver);

 private:
  // Hidden units: their means, and what samples are drawn about.
  struct Hidden {
    std::string mean, argument;
  };
  Hidden Up(const std::string& suffix, const std::string& visible);
  std::string Sample(const std::string& suffix, const Hidden& hidden);
  std::string Down(const std::string& suffix, const std::string& sample);
  // A sample of visible units, of which probabilities or means are known.
  std::string SampleVisible(const std::string& suffix,
                            const std::string& visible);

  // The data's side of the gradient, [B, units]: -h / B and the sparsity
  // penalty's.
  std::string DataSide(const Hidden& hidden);
  Gradients FromData(const Hidden& data, std::string* reconstruction);
  Gradients FromParticles(const Hidden& data, std::string* reconstruction);

  PretrainBuilder builder_;
  const std::string node_;
  const RbmDef& rbm_;
  const std::string weight_, hidden_bias_, visible_bias_;
  std::string visible_;
  bool rectified_ = false;
};

RbmBuilder::Hidden RbmBuilder::Up(const std::string& suffix,
                                  const std::string& visible) {
  op::Affine up;
  const std::vector<std::string> inputs = {visible, weight_, hidden_bias_};
  if (!rectified_) {
    up.set_activation(op::SIGMOID);
    const std::string mean = builder_.Add("hidden" + suffix, up, inputs);
    return {mean, mean};
  }
  const std::string argument = builder_.Add("argument" + suffix, up, inputs);
  return {builder_.Add("hidden" + suffix, op::Relu(), {argument}), argument};
}

std::string RbmBuilder::Sample(const std::string& suffix,
                               const Hidden& hidden) {
  op::Sample sample;
  if (rectified_) sample.set_distribution(op::Sample::RECTIFIED);
  return builder_.Add("sample" + suffix, sample, {hidden.argument});
}

std::string RbmBuilder::Down(const std::string& suffix,
                             const std::string& sample) {
  op::Affine down;
  down.set_transpose_weight(true);
  down.set_activation(rbm_.visible() == GAUSSIAN    ? op::LINEAR
                      : rbm_.visible() == RECTIFIED ? op::RELU
                                                    : op::SIGMOID);
  return builder_.Add("visible" + suffix, down,
                      {sample, weight_, visible_bias_});
}

std::string RbmBuilder::SampleVisible(const std::string& suffix,
                                      const std::string& visible) {
  // Rectified units have no argument left here; their mean serves.
  if (rbm_.visible() == RECTIFIED) return visible;
  op::Sample sample;
  if (rbm_.visible() == GAUSSIAN) {
    sample.set_distribution(op::Sample::GAUSSIAN);
  }
  return builder_.Add("visible_sample" + suffix, sample, {visible});
}

std::string RbmBuilder::DataSide(const Hidden& hidden) {
  const std::string data =
      builder_.Add("hidden_data", ScaledBy(-1, true), {hidden.mean});
  if (!rbm_.has_sparsity()) return data;
  op::Sparsity sparsity;
  sparsity.set_target(rbm_.sparsity().target());
  sparsity.set_cost(rbm_.sparsity().cost());
  sparsity.set_decay(rbm_.sparsity().decay());
  sparsity.set_at_logits(true);
  const std::string penalty = builder_.Add("sparsity", sparsity, {hidden.mean});
  return builder_.Add("hidden_sparse", op::Add(), {data, penalty + ":1"});
}

// dW = (v_k' h_k - v_0' h_0) / B, and so for the biases. Both products in one,
// by stacking [v_0; v_k] and [-h_0; h_k] / B.
Gradients RbmBuilder::FromData(const Hidden& data,
                               std::string* reconstruction) {
  Hidden hidden = data;
  for (int step = 1; step <= rbm_.cd_steps(); ++step) {
    const std::string number = absl::StrCat(step);
    *reconstruction = Down(number, Sample(number, hidden));
    hidden = Up(number, *reconstruction);
  }
  op::Concat stack;
  stack.set_axis(0);
  op::MatMul product;
  product.set_transpose_a(true);
  const std::string h_data = DataSide(data);
  const std::string h_model =
      builder_.Add("hidden_model", ScaledBy(1, true), {hidden.mean});
  const std::string h = builder_.Add("hidden_stack", stack, {h_data, h_model});
  const std::string v =
      builder_.Add("visible_stack", stack, {visible_, *reconstruction});
  const std::string difference = builder_.Add("visible_difference", op::Sub(),
                                              {*reconstruction, visible_});
  const std::string scaled =
      builder_.Add("visible_scaled", ScaledBy(1, true), {difference});
  return {{weight_, builder_.Add("weight_gradient", product, {v, h})},
          {hidden_bias_, builder_.Add("bias_gradient", SumOverRows(), {h})},
          {visible_bias_,
           builder_.Add("visible_bias_gradient", SumOverRows(), {scaled})}};
}

// The negative phase goes on from the particles, which are kept.
Gradients RbmBuilder::FromParticles(const Hidden& data,
                                    std::string* reconstruction) {
  const int64_t count = rbm_.particles();
  op::Parameter particles;
  particles.add_shape(count);
  particles.add_shape(WidthOf(builder_.graph(), visible_));
  particles.set_trainable(false);
  if (rbm_.visible() == BERNOULLI) {
    particles.mutable_init()->mutable_uniform()->set_low(0);
    particles.mutable_init()->mutable_uniform()->set_high(1);
  } else {
    particles.mutable_init()->mutable_gaussian()->set_stddev(1);
  }
  const std::string kept = builder_.Add("particles", particles, {});
  std::string visible = kept;
  Hidden hidden = Up("0", kept);
  for (int step = 1; step <= rbm_.cd_steps(); ++step) {
    const std::string number = absl::StrCat(step);
    visible = SampleVisible(number, Down(number, Sample(number, hidden)));
    hidden = Up(number, visible);
  }
  builder_.Add("keep_particles", op::Assign(), {kept, visible});
  *reconstruction = Down("_mean", data.mean);

  op::MatMul product;
  product.set_transpose_a(true);
  const op::Scale share = ScaledBy(1.0f / static_cast<float>(count), false);
  const std::string h_data = DataSide(data);
  const std::string h_model =
      builder_.Add("hidden_model", share, {hidden.mean});
  const std::string v_data =
      builder_.Add("visible_data", ScaledBy(-1, true), {visible_});
  const std::string v_model = builder_.Add("visible_model", share, {visible});
  const auto both = [&](const std::string& name, const OpParams& op,
                        const std::vector<std::string>& data_inputs,
                        const std::vector<std::string>& model_inputs) {
    return builder_.Add(name, op::Add(),
                        {builder_.Add(name + "_data", op, data_inputs),
                         builder_.Add(name + "_model", op, model_inputs)});
  };
  return {
      {weight_, both("weight_gradient", product, {visible_, h_data},
                     {visible, h_model})},
      {hidden_bias_, both("bias_gradient", SumOverRows(), {h_data}, {h_model})},
      {visible_bias_,
       both("visible_bias_gradient", SumOverRows(), {v_data}, {v_model})}};
}

absl::StatusOr<Graph> RbmBuilder::Build(const SolverDef& solver) {
  builder_.AddParameter(visible_bias_, {WidthOf(builder_.graph(), visible_)});
  // A logistic node is its own mean.
  const Hidden data =
      rectified_ ? Up("_data_mean", visible_) : Hidden{node_, node_};
  std::string reconstruction;
  const Gradients gradients = rbm_.persistent()
                                  ? FromParticles(data, &reconstruction)
                                  : FromData(data, &reconstruction);
  builder_.AddNamed("reconstruction_error", op::MeanSquaredError(),
                    {reconstruction, visible_});
  return builder_.Finish(gradients, solver, {"reconstruction_error"});
}

}  // namespace

absl::StatusOr<Graph> PretrainRbm(Graph trunk, const PretrainLayer& layer,
                                  const SolverDef& solver) {
  return RbmBuilder(std::move(trunk), layer.node(), layer.rbm()).Build(solver);
}

absl::StatusOr<Graph> MonitorRbm(const Graph& network,
                                 const PretrainLayer& layer) {
  CopyOptions options;
  options.for_prediction = true;
  TAMER_ASSIGN_OR_RETURN(Graph trunk,
                         CopyNeeded(network, {layer.node()}, options, nullptr));
  const std::string& node = layer.node();
  const std::string visible =
      trunk.value(trunk.node(trunk.FindNode(node)).inputs[0]).name;
  const int64_t width = WidthOf(trunk, visible);
  PretrainBuilder builder(std::move(trunk), "monitor", node);
  builder.AddParameter(VisibleBiasOf(node), {width});
  op::FreeEnergy energy;
  energy.set_gaussian(layer.rbm().visible() == GAUSSIAN);
  const auto add_energy = [&](const std::string& name, const std::string& v) {
    const std::string x = builder.Add("argument_" + name, op::Affine(),
                                      {v, WeightOf(node), BiasOf(node)});
    builder.AddNamed(name, energy, {v, x, VisibleBiasOf(node)});
  };
  add_energy("free_energy", visible);
  if (layer.rbm().visible() == BERNOULLI) {
    op::Corrupt flip;
    flip.set_kind(op::Corrupt::FLIP_ONE);
    const std::string binary = builder.Add("binary", op::Sample(), {visible});
    add_energy("binary_free_energy", binary);
    add_energy("flipped_free_energy", builder.Add("flipped", flip, {binary}));
  }
  TAMER_RETURN_IF_ERROR(builder.status());
  Graph graph = std::move(builder.graph());
  for (const char* output :
       {"free_energy", "binary_free_energy", "flipped_free_energy"}) {
    if (graph.FindValue(output) < 0) continue;
    TAMER_RETURN_IF_ERROR(graph.AddOutput(output));
  }
  TAMER_RETURN_IF_ERROR(graph.AddOutput(node));
  return graph;
}

}  // namespace tamer
