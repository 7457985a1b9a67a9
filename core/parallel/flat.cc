#include "core/parallel/flat.h"

#include "core/base/parallel.h"

namespace tamer {

TAMER_VECTORIZED void ScaleInto(const float* __restrict from, float scale,
                                int64_t n, float* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = scale * from[i];
}

}  // namespace tamer
