#ifndef TAMER_OPS_INTERNAL_ACTIVATIONS_H_
#define TAMER_OPS_INTERNAL_ACTIVATIONS_H_

#include <cstdint>

#include "proto/ops/dense.pb.h"

namespace tamer {

// dx[i] = dy[i] * f'(x[i]), the derivative of `activation` being found from the
// value y[i] = f(x[i]), but GELU's, whose value doesn't tell its argument, from
// y[i] = x[i]. dx may be dy.
void MultiplyBySlope(op::Activation activation, float slope, const float* dy,
                     const float* y, int64_t n, float* dx);

// y[i] = activation(a[i] + b[i] + bias[i]), b or bias being null for none. For
// what ActivatesInSum() says. y may be a.
void ActivatedSum(op::Activation activation, float slope, const float* a,
                  const float* b, const float* bias, int64_t n, float* y);
bool ActivatesInSum(op::Activation activation);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_ACTIVATIONS_H_
