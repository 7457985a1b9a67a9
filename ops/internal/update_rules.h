#ifndef TAMER_OPS_INTERNAL_UPDATE_RULES_H_
#define TAMER_OPS_INTERNAL_UPDATE_RULES_H_

#include <cstdint>

#include "core/base/parallel.h"
#include "ops/internal/tile_update.h"

namespace tamer {

// An update rule is a struct with its constants, applied to a parameter's
// numbers, one at a time or a vector of them: rule(p, gradient, state 0,
// state 1) changes all but the gradient. Its Sweep does that over memory.
struct SgdRule {
  static constexpr int kStates = 0;
  float rate, decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T&, T&) const {
    p -= rate * (g + decay * p);
  }
  TAMER_VECTORIZED static void Sweep(const SgdRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g, float*,
                                     float*) {
    const SgdRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], none, none);
  }
};

struct MomentumRule {
  static constexpr int kStates = 1;
  float rate, momentum, decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& v, T&) const {
    const T step = rate * (g + decay * p);
    v = momentum * v - step;
    p += v;
  }
  TAMER_VECTORIZED static void Sweep(const MomentumRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict v, float*) {
    const MomentumRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], v[i], none);
  }
};

struct NesterovRule {
  static constexpr int kStates = 1;
  float rate, momentum, decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& v, T&) const {
    const T step = rate * (g + decay * p);
    const T velocity = momentum * v - step;
    v = velocity;
    p += momentum * velocity - step;
  }
  TAMER_VECTORIZED static void Sweep(const NesterovRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict v, float*) {
    const NesterovRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], v[i], none);
  }
};

struct AdamRule {
  static constexpr int kStates = 2;
  float rate, beta1, beta2, epsilon;
  float correction1, correction2;  // 1 / (1 - beta ^ steps)
  float decay, decoupled_decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& m, T& v) const {
    const T gradient = g + decay * p;
    m = beta1 * m + (1 - beta1) * gradient;
    v = beta2 * v + (1 - beta2) * gradient * gradient;
    T root = v * correction2;
    TakeRoot(root);
    p -= rate * (m * correction1 / (root + epsilon) + decoupled_decay * p);
  }
  TAMER_VECTORIZED static void Sweep(const AdamRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict m, float* __restrict v) {
    const AdamRule rule = constants;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], m[i], v[i]);
  }
};

// RMSProp (keep < 1) and AdaGrad (keep = add = 1): steps over the root of an
// accumulated square.
struct SquareRule {
  static constexpr int kStates = 1;
  float rate, decay, keep, add, epsilon;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& a, T&) const {
    const T gradient = g + decay * p;
    a = keep * a + add * gradient * gradient;
    T root = a;
    TakeRoot(root);
    p -= rate * gradient / (root + epsilon);
  }
  TAMER_VECTORIZED static void Sweep(const SquareRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict a, float*) {
    const SquareRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], a[i], none);
  }
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_UPDATE_RULES_H_
