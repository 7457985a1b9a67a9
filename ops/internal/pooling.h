#ifndef TAMER_OPS_INTERNAL_POOLING_H_
#define TAMER_OPS_INTERNAL_POOLING_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/op/op.h"
#include "ops/internal/window.h"

// Pooling's loops, in one form for both orders of an image: `planes` tensors
// [z, y, x, inner], where channels are among the planes or are `inner`.

namespace tamer {

// Windows along one dimension. Window o has the elements [begin[o], end[o]);
// they are counted from start[o], which may lie in the padding.
struct PoolAxis {
  int64_t in = 1, out = 1;
  int64_t taps = 1;    // of the widest window, padding counted
  int64_t stride = 0;  // between starts; 0 if they have no common one
  std::vector<int64_t> start = {0}, begin = {0}, end = {1};
  // What a mean multiplies the sum by, along this dimension.
  std::vector<float> factor = {1};
};

struct PoolGeometry {
  int64_t planes = 1, inner = 1;
  std::array<PoolAxis, 3> axes;  // z, y, x; what is missing has size 1

  int64_t plane_in() const;   // elements of a plane of the larger tensor
  int64_t plane_out() const;  // and of the smaller
  int64_t taps() const { return axes[0].taps * axes[1].taps * axes[2].taps; }
  // Whether places in windows fit in UINT8; else they are INT32.
  bool small() const { return taps() <= 256; }
};

// Windows that slide, and windows that fit an output size.
PoolAxis Sliding(const WindowAxis& axis, bool count_include_pad);
PoolAxis Adaptive(int64_t in, int64_t out);

// Of `image`'s bound dimensions; `axes` are one for each spatial dimension.
PoolGeometry MakeGeometry(const ImageDims& image, bool channels_last,
                          const std::vector<PoolAxis>& axes);

// Input 0 is x. Output 0 is y; output 1, if there is one, each value's place:
// the tap's number in its window in row-major order, UINT8 or INT32. Of equal
// values the first wins, and NaN over all.
std::unique_ptr<Kernel> MakeMaxPool(PoolGeometry geometry, bool indices);
std::unique_ptr<Kernel> MakeAveragePool(PoolGeometry geometry);

// Inputs are dy, and places for the maximum; output 0 is dx.
std::unique_ptr<Kernel> MakeMaxPoolGradient(PoolGeometry geometry);
std::unique_ptr<Kernel> MakeAveragePoolGradient(PoolGeometry geometry);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_POOLING_H_
