#include "ops/internal/vectors.h"

#include "core/base/parallel.h"

namespace tamer {

TAMER_VECTORIZED float Dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

TAMER_VECTORIZED void Combine(float a, const float* x, float b, const float* z,
                              int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a * x[i] + b * z[i];
}

}  // namespace tamer
