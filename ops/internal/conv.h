#ifndef TAMER_OPS_INTERNAL_CONV_H_
#define TAMER_OPS_INTERNAL_CONV_H_

#include <memory>
#include <string>
#include <vector>

#include "core/op/op.h"
#include "ops/internal/window.h"
#include "proto/ops/conv.pb.h"

// Convolutions on oneDNN, forwards and backwards, for one to three spatial
// dimensions. Weights lie plain, [out, in / groups, spatial dimensions...],
// images with channels first or last. All results have the same bits on any
// number of threads.

namespace tamer {

struct ConvShape {
  int64_t batch = 1;
  int64_t in = 1, out = 1;  // channels
  int64_t groups = 1;
  std::vector<WindowAxis> axes;
  bool channels_last = false;

  ImageDims x() const;
  ImageDims y() const;
  // [out, in / groups, kernel...].
  Shape weight() const;
  // Of one of the three products: forward, and the two gradients.
  double flops() const;
};

// The geometry as a message for the ops that gradients are made of, and back.
op::ConvGeometry GeometryOf(const ConvShape& shape);
absl::StatusOr<std::vector<WindowAxis>> AxesOf(const op::ConvGeometry& given);

// That channels and filters fit the groups, and that the weight is of a size
// that can be; what the filters are called in a message.
absl::Status CheckChannels(const ConvShape& shape, const char* in,
                           const char* out);

// Kernel over inputs x, weight[, bias] and output y, the activation fused. For
// GELU output 1 gets the sum before the activation, which its gradient needs.
struct ConvSettings {
  bool bias = false;
  op::Activation activation = op::LINEAR;
  float slope = 0;
};
absl::StatusOr<std::unique_ptr<Kernel>> MakeConv(const ConvShape& shape,
                                                 const ConvSettings& settings);

// Kernel over inputs dy, weight[, bias] and output dx; for the transposed
// convolution bias, [in], and activation (not GELU) come after.
absl::StatusOr<std::unique_ptr<Kernel>> MakeConvInputGradient(
    const ConvShape& shape, const ConvSettings& settings);

// Kernel over inputs x, dy and outputs weight's gradient and, with `bias`, its
// gradient, [out]. The minibatch is cut in parts that depend on the shape
// alone, whose sums are added in a fixed order.
absl::StatusOr<std::unique_ptr<Kernel>> MakeConvWeightGradient(
    const ConvShape& shape, bool bias);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_CONV_H_
