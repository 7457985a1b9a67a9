#ifndef TAMER_OPS_INTERNAL_POOLING_WALK_H_
#define TAMER_OPS_INTERNAL_POOLING_WALK_H_

#include <algorithm>
#include <cstdint>

#include "core/base/parallel.h"
#include "ops/internal/pooling.h"

// How pooling's kernels go over windows.

namespace tamer {
namespace pooling {

// Runs body(begin, end) over `n` units of `work` elements each.
template <typename Body>
void ForUnits(int64_t n, int64_t work, const Body& body) {
  // ParallelFor cuts at multiples of 16.
  constexpr int64_t kGrain = 1 << 14;
  ParallelFor(n * 16, kGrain * 16 / std::max<int64_t>(1, work) + 1,
              [&](int64_t begin, int64_t end) { body(begin / 16, end / 16); });
}

// The windows' range of one output element along z and y.
struct Box {
  int64_t z, y;  // of the output
  int64_t z0, z1, y0, y1;
};

inline Box BoxOf(const PoolGeometry& g, int64_t z, int64_t y) {
  return {z,
          y,
          g.axes[0].begin[z],
          g.axes[0].end[z],
          g.axes[1].begin[y],
          g.axes[1].end[y]};
}

inline int64_t RowOf(const PoolGeometry& g, int64_t z, int64_t y) {
  return (z * g.axes[1].in + y) * g.axes[2].in;
}

// The outputs [first, last) of a row for which tap t is inside; the axis has a
// stride.
inline IndexRange Inside(const PoolAxis& axis, int64_t t) {
  const int64_t at = axis.start[0] + t;  // of output 0
  IndexRange range;
  range.begin = at >= 0 ? 0 : (-at + axis.stride - 1) / axis.stride;
  range.end = at >= axis.in
                  ? 0
                  : std::min(axis.out, (axis.in - 1 - at) / axis.stride + 1);
  return range;
}

}  // namespace pooling
}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_POOLING_WALK_H_
