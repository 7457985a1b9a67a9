#ifndef TAMER_OPS_INTERNAL_CONV_LAYER_H_
#define TAMER_OPS_INTERNAL_CONV_LAYER_H_

#include <string>

#include "ops/internal/checks.h"
#include "ops/internal/conv.h"
#include "ops/internal/layer.h"

// What Conv1D to Conv3D and ConvTranspose2D, whose parameters bear the same
// names, have in common. `Params` is such a message.

namespace tamer {

template <typename Params>
WindowParams WindowOf(const Params& params) {
  WindowParams window;
  window.kernel = ToVector(params.kernel());
  window.stride = ToVector(params.stride());
  window.dilation = ToVector(params.dilation());
  window.pad = ToVector(params.pad());
  window.padding = params.padding();
  return window;
}

// That the input is one image of `spatial` spatial dimensions.
absl::StatusOr<ImageDims> CheckImage(Types inputs, int spatial,
                                     bool channels_last);

// A convolution's first weights; the fans of a rule are those of a filter.
absl::StatusOr<Initializer> ConvWeights(const Initializer& init, double fan_in,
                                        double fan_out);

// The variables: weight of this shape, and bias if there is one.
template <typename Params>
absl::StatusOr<std::vector<VariableSpec>> ConvVariables(const Params& params,
                                                        const Shape& shape,
                                                        double fan_in,
                                                        double fan_out) {
  VariableSpec weight;
  weight.name = "weight";
  weight.type.shape = shape;
  TAMER_ASSIGN_OR_RETURN(
      weight.initializer,
      ConvWeights(params.has_weight_init() ? params.weight_init()
                                           : FirstWeights(params.activation()),
                  fan_in, fan_out));
  std::vector<VariableSpec> variables = {weight};
  if (params.bias()) {
    variables.push_back(
        BiasSpec(params.filters(), params.has_bias_init(), params.bias_init()));
  }
  return variables;
}

template <typename Params>
ConvSettings SettingsOf(const Params& params) {
  return {params.bias(), params.activation(), params.slope()};
}

// The gradient at the bias alone, input `i` of the node: dz's sum over all but
// the channels.
absl::Status SetChannelSum(GradientBuilder& g, int i, const std::string& dz,
                           bool channels_last);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_CONV_LAYER_H_
