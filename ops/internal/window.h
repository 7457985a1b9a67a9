#ifndef TAMER_OPS_INTERNAL_WINDOW_H_
#define TAMER_OPS_INTERNAL_WINDOW_H_

#include <cstdint>
#include <vector>

#include "core/base/shape.h"
#include "core/base/status.h"
#include "proto/ops/window.pb.h"

// The geometry of windows that slide over tensors [B, channels, ...] with one
// to three spatial dimensions.

namespace tamer {

// One spatial dimension: window `o` begins at o * stride - before and has an
// element every `dilation`.
struct WindowAxis {
  int64_t in = 1, out = 1;
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t before = 0, after = 0;  // padding
};

// As a user writes it: one number for all dimensions or one a dimension, `pad`
// also two a dimension. No stride or dilation means 1, no pad 0.
struct WindowParams {
  std::vector<int64_t> kernel, stride, dilation, pad;
  op::Padding padding = op::VALID;
};

// [B, channels, ...] or with channels last [B, ..., channels].
struct ImageDims {
  int64_t batch = 1;  // perhaps a multiple of B, as in Shape
  int64_t channels = 1;
  std::vector<int64_t> spatial;

  int rank() const { return static_cast<int>(spatial.size()); }
};

// The dimensions of a tensor with one to three spatial ones; else an error.
absl::StatusOr<ImageDims> ImageOf(const Shape& x, bool channels_last);

// And back. An error if a tensor of that size is out of all reason.
absl::StatusOr<Shape> ShapeOf(const ImageDims& image, bool channels_last);

// An axis for each spatial dimension. Every window holds an element at least.
// Errors name the parameter, what it is and what it must be.
absl::StatusOr<std::vector<WindowAxis>> SlideWindow(
    const WindowParams& params, const std::vector<int64_t>& spatial);

// A parameter's number for each of `rank` spatial dimensions: one for all or
// one each, from `least` on.
absl::StatusOr<std::vector<int64_t>> PerDimension(
    const char* name, const std::vector<int64_t>& given, int rank,
    int64_t least);

// A repeated field as a vector.
template <typename Field>
std::vector<int64_t> ToVector(const Field& field) {
  return {field.begin(), field.end()};
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_WINDOW_H_
