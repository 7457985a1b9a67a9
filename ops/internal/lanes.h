#ifndef TAMER_OPS_INTERNAL_LANES_H_
#define TAMER_OPS_INTERNAL_LANES_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/base/parallel.h"

// Sixteen floats at once by the compiler's own vectors: AVX-512 registers in a
// TAMER_VECTORIZED function's clone for them, pieces of them elsewhere. For
// loops that no compiler makes vectors of by itself: sums, maxima, tiles.
// Everything here is inlined into such a function.

#pragma GCC diagnostic push
// Nothing is passed by value: all is inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace tamer {

using Lanes = float __attribute__((vector_size(64)));
using IntLanes = int32_t __attribute__((vector_size(64)));
constexpr int64_t kLaneCount = 16;

// `n` rounded up to whole vectors.
inline int64_t UpToLanes(int64_t n) {
  return (n + kLaneCount - 1) / kLaneCount * kLaneCount;
}

TAMER_INLINE Lanes AllLanes(float x) { return x - Lanes{}; }

TAMER_INLINE Lanes LoadLanes(const float* from) {
  Lanes result;
  std::memcpy(&result, from, sizeof(result));
  return result;
}
TAMER_INLINE void StoreLanes(const Lanes& lanes, float* to) {
  std::memcpy(to, &lanes, sizeof(lanes));
}

// n numbers, or 16 if they are more; zeros in the rest.
TAMER_INLINE Lanes LoadFirst(const float* from, int64_t n) {
  if (n >= kLaneCount) return LoadLanes(from);
  Lanes result = {};
  std::memcpy(&result, from, n * sizeof(float));
  return result;
}

// The first n, or all 16 if n is more.
TAMER_INLINE void StoreFirst(const Lanes& lanes, int64_t n, float* to) {
  if (n >= kLaneCount) return StoreLanes(lanes, to);
  std::memcpy(to, &lanes, n * sizeof(float));
}

// The first n lanes of `lanes`, and `other` in the rest.
TAMER_INLINE Lanes FirstLanes(const Lanes& lanes, int64_t n, float other) {
  const IntLanes index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return index < static_cast<int32_t>(n) ? lanes : AllLanes(other);
}

TAMER_INLINE Lanes Larger(const Lanes& a, const Lanes& b) {
  return a > b ? a : b;
}

// The lanes in another order, so that each meets the one `kBy` away.
template <int kBy>
TAMER_INLINE Lanes Turned(const Lanes& v) {
  return __builtin_shufflevector(v, v, 0 ^ kBy, 1 ^ kBy, 2 ^ kBy, 3 ^ kBy,
                                 4 ^ kBy, 5 ^ kBy, 6 ^ kBy, 7 ^ kBy, 8 ^ kBy,
                                 9 ^ kBy, 10 ^ kBy, 11 ^ kBy, 12 ^ kBy,
                                 13 ^ kBy, 14 ^ kBy, 15 ^ kBy);
}

// By halves: the order is fixed.
TAMER_INLINE float SumOfLanes(const Lanes& lanes) {
  Lanes v = lanes;
  v += Turned<8>(v);
  v += Turned<4>(v);
  v += Turned<2>(v);
  v += Turned<1>(v);
  return v[0];
}
TAMER_INLINE float LargestLane(const Lanes& lanes) {
  Lanes v = lanes;
  v = Larger(v, Turned<8>(v));
  v = Larger(v, Turned<4>(v));
  v = Larger(v, Turned<2>(v));
  v = Larger(v, Turned<1>(v));
  return v[0];
}

// exp(x), as Exp in vector_math.h.
TAMER_INLINE Lanes ExpOfLanes(const Lanes& x) {
  const Lanes low = AllLanes(-87.3f), high = AllLanes(88.3f);
  const Lanes above = x < low ? low : x;
  const Lanes clamped = above > high ? high : above;
  const Lanes shifted = clamped * 1.44269504088896341f + 12582912.0f;
  const Lanes n = shifted - 12582912.0f;
  const Lanes r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  Lanes p = AllLanes(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntLanes bits = (__builtin_convertvector(n, IntLanes) + 127) << 23;
  Lanes power;
  std::memcpy(&power, &bits, sizeof(power));
  return x < low ? Lanes{} : p * power;
}

namespace lanes_internal {

// For each lane l of a pair of vectors kBy rows apart: lanes with bit kBy
// change places with those of the other that lack it.
#define TAMER_KEEP(l) ((l)&kBy ? 16 + (l)-kBy : (l))
#define TAMER_TAKE(l) ((l)&kBy ? 16 + (l) : (l) + kBy)
#define TAMER_ALL_LANES(f)                                                  \
  f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), \
      f(12), f(13), f(14), f(15)
template <int kBy>
TAMER_INLINE void SwapBetween(Lanes& a, Lanes& b) {
  const Lanes kept = __builtin_shufflevector(a, b, TAMER_ALL_LANES(TAMER_KEEP));
  b = __builtin_shufflevector(a, b, TAMER_ALL_LANES(TAMER_TAKE));
  a = kept;
}
#undef TAMER_KEEP
#undef TAMER_TAKE
#undef TAMER_ALL_LANES

template <int kBy>
TAMER_INLINE void SwapAll(Lanes (&v)[kLaneCount]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLaneCount; ++i) {
    if ((i & kBy) == 0) SwapBetween<kBy>(v[i], v[i + kBy]);
  }
}

}  // namespace lanes_internal

// 16 vectors of 16 numbers become their columns.
TAMER_INLINE void TransposeLanes(Lanes (&v)[kLaneCount]) {
  lanes_internal::SwapAll<8>(v);
  lanes_internal::SwapAll<4>(v);
  lanes_internal::SwapAll<2>(v);
  lanes_internal::SwapAll<1>(v);
}

}  // namespace tamer

#pragma GCC diagnostic pop

#endif  // TAMER_OPS_INTERNAL_LANES_H_
