#include "ops/internal/conv_layer.h"

#include <cmath>

#include "proto/ops/shape.pb.h"

namespace tamer {

absl::StatusOr<ImageDims> CheckImage(Types inputs, int spatial,
                                     bool channels_last) {
  TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  const char* const kFirst[] = {"[B, channels, T]", "[B, channels, H, W]",
                                "[B, channels, D, H, W]"};
  const char* const kLast[] = {"[B, T, channels]", "[B, H, W, channels]",
                               "[B, D, H, W, channels]"};
  if (inputs[0].shape.rank() != spatial + 2) {
    return Invalid("the input must be ",
                   (channels_last ? kLast : kFirst)[spatial - 1], ", but is ",
                   inputs[0].shape.ToString());
  }
  return ImageOf(inputs[0].shape, channels_last);
}

absl::StatusOr<Initializer> ConvWeights(const Initializer& init, double fan_in,
                                        double fan_out) {
  double variance = 0;
  bool gaussian = false;
  switch (init.kind_case()) {
    case Initializer::kXavier:
      variance = 2 / (fan_in + fan_out);
      gaussian = init.xavier().gaussian();
      break;
    case Initializer::kHe:
      variance = 2 / fan_in;
      gaussian = init.he().gaussian();
      break;
    case Initializer::kOrthogonal:
      return Invalid(
          "weight_init is orthogonal, which is for matrices; use "
          "he, xavier or gaussian");
    default:
      return init;
  }
  Initializer plain;
  if (gaussian) {
    plain.mutable_gaussian()->set_stddev(
        static_cast<float>(std::sqrt(variance)));
  } else {
    const float limit = static_cast<float>(std::sqrt(3 * variance));
    plain.mutable_uniform()->set_low(-limit);
    plain.mutable_uniform()->set_high(limit);
  }
  return plain;
}

absl::Status SetChannelSum(GradientBuilder& g, int i, const std::string& dz,
                           bool channels_last) {
  if (i >= g.num_inputs() || !g.Wanted(i)) return absl::OkStatus();
  op::Reduce sum;
  const int rank = g.OutputType(0).shape.rank();
  const int channels = channels_last ? rank - 1 : 1;
  for (int axis = 0; axis < rank; ++axis) {
    if (axis != channels) sum.add_axis(axis);
  }
  TAMER_ASSIGN_OR_RETURN(const std::string db, g.Emit("bias", sum, {dz}));
  g.SetGradient(i, db);
  return absl::OkStatus();
}

}  // namespace tamer
