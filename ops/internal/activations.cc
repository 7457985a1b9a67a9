#include "ops/internal/activations.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "ops/internal/vector_math.h"

namespace tamer {
namespace {

TAMER_VECTORIZED void SigmoidSlope(const float* dy, const float* y, int64_t n,
                                   float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

TAMER_VECTORIZED void TanhSlope(const float* dy, const float* y, int64_t n,
                                float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

// With slope 0, ReLU's.
TAMER_VECTORIZED void LeakyReluSlope(const float* dy, const float* y,
                                     float slope, int64_t n, float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = y[i] > 0 ? dy[i] : slope * dy[i];
}

TAMER_VECTORIZED void Sums(const float* a, const float* b, const float* bias,
                           int64_t n, float* y) {
  if (b == nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] + bias[i];
  } else if (bias == nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i] + bias[i];
  }
}

TAMER_VECTORIZED void SigmoidInPlace(int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = 1.0f / (1.0f + Exp(-y[i]));
}

TAMER_VECTORIZED void LeakyReluInPlace(float slope, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] > 0 ? y[i] : slope * y[i];
}

// The normal distribution function at x, within 1e-7; `density` is
// exp(-x^2 / 2). By the error function's formula 7.1.26 of Abramowitz and
// Stegun (1964).
TAMER_INLINE float Normal(float x, float density) {
  const float z = 0.70710678f * std::fabs(x);
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * p * t * density, rest = 1.0f - tail;
  return x < 0 ? tail : rest;
}

TAMER_VECTORIZED void Gelu(const float* x, int64_t n, float* y) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i];
    y[i] = v * Normal(v, Exp(-0.5f * v * v));
  }
}

TAMER_VECTORIZED void GeluSlope(const float* dy, const float* x, int64_t n,
                                float* dx) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i], density = Exp(-0.5f * v * v);
    dx[i] = dy[i] * (Normal(v, density) + 0.39894228f * v * density);
  }
}

}  // namespace

void MultiplyBySlope(op::Activation activation, float slope, const float* dy,
                     const float* y, int64_t n, float* dx) {
  switch (activation) {
    case op::SIGMOID:
      return SigmoidSlope(dy, y, n, dx);
    case op::TANH:
      return TanhSlope(dy, y, n, dx);
    case op::RELU:
      return LeakyReluSlope(dy, y, 0, n, dx);
    case op::LEAKY_RELU:
      return LeakyReluSlope(dy, y, slope, n, dx);
    case op::GELU:
      return GeluSlope(dy, y, n, dx);
    case op::LINEAR:
      return;
  }
}

bool ActivatesInSum(op::Activation activation) {
  return activation != op::TANH;
}

void ActivatedSum(op::Activation activation, float slope, const float* a,
                  const float* b, const float* bias, int64_t n, float* y) {
  if (activation == op::GELU && b == nullptr && bias == nullptr) {
    return Gelu(a, n, y);
  }
  if (b != nullptr || bias != nullptr) {
    Sums(a, b, bias, n, y);
  } else if (y != a) {
    std::copy(a, a + n, y);
  }
  switch (activation) {
    case op::SIGMOID:
      return SigmoidInPlace(n, y);
    case op::RELU:
      return LeakyReluInPlace(0, n, y);
    case op::LEAKY_RELU:
      return LeakyReluInPlace(slope, n, y);
    case op::GELU:
      return Gelu(y, n, y);
    case op::LINEAR:
    case op::TANH:
      return;
  }
}

}  // namespace tamer
