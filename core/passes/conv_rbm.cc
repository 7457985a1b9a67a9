#include "core/op/gradient.h"
#include "core/passes/pretrain.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/conv.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// The way back through a convolution without its activation, as its gradient
// computes it: what flows to the input, given that to the output, is the
// downward pass of the RBM; what flows to the parameters, its statistics.
class WayBack : public GradientBuilder {
 public:
  // Index space: the input, weight, bias.
  enum { kInput, kWeight, kBias };
  WayBack(PretrainBuilder& builder, const std::string& name,
          const op::Conv2D& conv, std::vector<std::string> inputs,
          std::string output_gradient, bool input_wanted)
      : builder_(builder),
        name_(name),
        conv_(conv),
        inputs_(std::move(inputs)),
        output_gradient_(std::move(output_gradient)),
        input_wanted_(input_wanted) {}

  const OpParams& params() const override { return conv_; }
  int num_inputs() const override { return static_cast<int>(inputs_.size()); }
  std::string Input(int i) const override { return inputs_[i]; }
  TensorType InputType(int i) const override { return TypeOf(inputs_[i]); }
  // Of the same shape as what flows into it, which is all that is asked.
  std::string Output(int) const override { return output_gradient_; }
  TensorType OutputType(int) const override { return TypeOf(output_gradient_); }
  std::string OutputGradient(int i) const override {
    return i == 0 ? output_gradient_ : "";
  }
  bool OutputGradientIsOne(int) const override { return false; }
  bool Wanted(int i) const override { return (i == kInput) == input_wanted_; }
  absl::StatusOr<std::string> Emit(
      const std::string& suffix, const OpParams& op,
      const std::vector<std::string>& inputs) override {
    const std::string name =
        builder_.Add(absl::StrCat(name_, "_", suffix), op, inputs);
    TAMER_RETURN_IF_ERROR(builder_.status());
    return name;
  }
  void SetGradient(int i, const std::string& value) override {
    found_[i] = value;
  }

  // Where each gradient is.
  std::map<int, std::string>& found() { return found_; }

 private:
  TensorType TypeOf(const std::string& value) const {
    return builder_.graph().value(builder_.graph().FindValue(value)).type;
  }

  PretrainBuilder& builder_;
  const std::string name_;
  const op::Conv2D& conv_;
  const std::vector<std::string> inputs_;
  const std::string output_gradient_;
  const bool input_wanted_;
  std::map<int, std::string> found_;
};

op::Reduce SumButChannels() {
  op::Reduce sum;
  for (int axis : {0, 2, 3}) sum.add_axis(axis);
  return sum;
}

op::Scale ByBatch(float factor) {
  op::Scale scale;
  scale.set_factor(factor);
  scale.set_divide_by_batch(true);
  return scale;
}

// Builds the contrastive-divergence step for one Conv2D node.
class ConvRbmBuilder {
 public:
  ConvRbmBuilder(Graph trunk, const std::string& node, const RbmDef& rbm)
      : builder_(std::move(trunk), "rbm", node),
        node_(node),
        rbm_(rbm),
        visible_bias_(VisibleBiasOf(node)) {
    const Graph& graph = builder_.graph();
    const Node& conv = graph.node(graph.FindNode(node));
    op_ = conv.op;
    linear_.CopyFrom(*conv.params);
    rectified_ = linear_.activation() == op::RELU;
    linear_.set_activation(op::LINEAR);
    visible_ = graph.value(conv.inputs[0]).name;
  }

  absl::StatusOr<Graph> Build(const SolverDef& solver);

 private:
  // Hidden units: their means, and what samples are drawn about.
  struct Hidden {
    std::string mean, argument;
  };
  Hidden Up(const std::string& suffix, const std::string& visible);
  absl::StatusOr<std::string> Down(const std::string& suffix,
                                   const Hidden& hidden);

  PretrainBuilder builder_;
  const std::string node_;
  const RbmDef& rbm_;
  const std::string visible_bias_;
  std::string visible_;
  const Op* op_ = nullptr;
  op::Conv2D linear_;
  bool rectified_ = false;
};

ConvRbmBuilder::Hidden ConvRbmBuilder::Up(const std::string& suffix,
                                          const std::string& visible) {
  const std::string argument =
      builder_.AddSharing("argument" + suffix, linear_, {visible}, node_);
  if (rectified_) {
    return {builder_.Add("hidden" + suffix, op::Relu(), {argument}), argument};
  }
  const std::string mean =
      builder_.Add("hidden" + suffix, op::Sigmoid(), {argument});
  return {mean, mean};
}

absl::StatusOr<std::string> ConvRbmBuilder::Down(const std::string& suffix,
                                                 const Hidden& hidden) {
  op::Sample sample;
  if (rectified_) sample.set_distribution(op::Sample::RECTIFIED);
  const std::string state =
      builder_.Add("sample" + suffix, sample, {hidden.argument});
  WayBack back(builder_, "down" + suffix, linear_,
               {visible_, WeightOf(node_), BiasOf(node_)}, state, true);
  TAMER_RETURN_IF_ERROR(builder_.status());
  TAMER_RETURN_IF_ERROR(op_->Gradient(back));
  const std::string sum = back.found()[WayBack::kInput];
  op::BroadcastLike spread;
  *spread.mutable_axis() = SumButChannels().axis();
  const std::string argument =
      builder_.Add("visible_argument" + suffix, op::Add(),
                   {sum, builder_.Add("visible_bias" + suffix, spread,
                                      {visible_bias_, visible_})});
  if (rbm_.visible() == GAUSSIAN) return argument;
  if (rbm_.visible() == RECTIFIED) {
    return builder_.Add("visible" + suffix, op::Relu(), {argument});
  }
  return builder_.Add("visible" + suffix, op::Sigmoid(), {argument});
}

// As for a Dense node: the data's statistics and the model's in one product, by
// stacking [v_0; v_k] and [-h_0; h_k] / B.
absl::StatusOr<Graph> ConvRbmBuilder::Build(const SolverDef& solver) {
  const Graph& graph = builder_.graph();
  builder_.AddParameter(
      visible_bias_,
      {graph.value(graph.FindValue(visible_)).type.shape.dim(1)});
  const Hidden data = Up("0", visible_);
  Hidden hidden = data;
  std::string reconstruction;
  for (int step = 1; step <= rbm_.cd_steps(); ++step) {
    TAMER_ASSIGN_OR_RETURN(reconstruction, Down(absl::StrCat(step), hidden));
    hidden = Up(absl::StrCat(step), reconstruction);
  }
  op::Concat stack;
  stack.set_axis(0);
  const std::string h =
      builder_.Add("hidden_stack", stack,
                   {builder_.Add("hidden_data", ByBatch(-1), {data.mean}),
                    builder_.Add("hidden_model", ByBatch(1), {hidden.mean})});
  const std::string v =
      builder_.Add("visible_stack", stack, {visible_, reconstruction});
  TAMER_RETURN_IF_ERROR(builder_.status());
  WayBack back(builder_, "gradient", linear_,
               {v, WeightOf(node_), BiasOf(node_)}, h, false);
  TAMER_RETURN_IF_ERROR(op_->Gradient(back));
  const std::string difference =
      builder_.Add("visible_scaled", ByBatch(1),
                   {builder_.Add("visible_difference", op::Sub(),
                                 {reconstruction, visible_})});
  builder_.AddNamed("reconstruction_error", op::MeanSquaredError(),
                    {reconstruction, visible_});
  return builder_.Finish(
      {{WeightOf(node_), back.found()[WayBack::kWeight]},
       {BiasOf(node_), back.found()[WayBack::kBias]},
       {visible_bias_,
        builder_.Add("visible_bias_gradient", SumButChannels(), {difference})}},
      solver, {"reconstruction_error"});
}

}  // namespace

absl::StatusOr<Graph> PretrainConvRbm(Graph trunk, const PretrainLayer& layer,
                                      const SolverDef& solver) {
  return ConvRbmBuilder(std::move(trunk), layer.node(), layer.rbm())
      .Build(solver);
}

}  // namespace tamer
