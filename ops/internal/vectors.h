#ifndef TAMER_OPS_INTERNAL_VECTORS_H_
#define TAMER_OPS_INTERNAL_VECTORS_H_

#include <cstdint>

namespace tamer {

// Sum of a[i] * b[i], in an order that depends on n and the machine alone.
float Dot(const float* a, const float* b, int64_t n);

// y[i] = a * x[i] + b * z[i]; y may be x or z.
void Combine(float a, const float* x, float b, const float* z, int64_t n,
             float* y);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_VECTORS_H_
