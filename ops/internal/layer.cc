#include "ops/internal/layer.h"

#include "proto/ops/activation.pb.h"

namespace tamer {

Initializer FirstWeights(op::Activation activation) {
  Initializer init;
  if (activation == op::RELU || activation == op::LEAKY_RELU ||
      activation == op::GELU) {
    init.mutable_he();
  } else {
    init.mutable_xavier();
  }
  return init;
}

VariableSpec BiasSpec(int64_t units, bool given, const Initializer& init) {
  VariableSpec bias;
  bias.name = "bias";
  bias.type.shape = Shape({units});
  bias.initializer = init;
  if (!given) bias.initializer.mutable_zero();
  bias.decay = false;
  return bias;
}

absl::StatusOr<std::string> EmitBeforeActivation(GradientBuilder& g,
                                                 op::Activation activation,
                                                 float slope) {
  if (activation == op::LINEAR) return g.OutputGradient(0);
  op::ActivationGradient gradient;
  gradient.set_activation(activation);
  gradient.set_slope(slope);
  return g.Emit(
      "activation", gradient,
      {g.OutputGradient(0), g.Output(activation == op::GELU ? 1 : 0)});
}

}  // namespace tamer
