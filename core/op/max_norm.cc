#include "core/op/max_norm.h"

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"

namespace tamer {
namespace {

TAMER_VECTORIZED void AddSquares(const float* row, int64_t n, float* sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] += row[i] * row[i];
}
TAMER_VECTORIZED void MultiplyRow(float* row, int64_t n, const float* factors) {
  for (int64_t i = 0; i < n; ++i) row[i] *= factors[i];
}

}  // namespace

void LimitColumns(float* p, int64_t rows, int64_t columns, float most,
                  float* scratch) {
  if (most <= 0) return;
  ParallelFor(columns, 16, [&](int64_t begin, int64_t end) {
    float* sums = scratch + begin;
    const int64_t n = end - begin;
    std::memset(sums, 0, n * sizeof(float));
    for (int64_t r = 0; r < rows; ++r) {
      AddSquares(p + r * columns + begin, n, sums);
    }
    bool any = false;
    for (int64_t c = 0; c < n; ++c) {
      const float norm = std::sqrt(sums[c]);
      any = any || norm > most;
      sums[c] = norm > most ? most / norm : 1.0f;
    }
    for (int64_t r = 0; any && r < rows; ++r) {
      MultiplyRow(p + r * columns + begin, n, sums);
    }
  });
}

}  // namespace tamer
