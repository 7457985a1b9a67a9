#include "ops/internal/recurrent_product.h"

#include "ops/internal/lanes.h"

// Inlined functions have no calling convention that could differ.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace tamer {
namespace {

// kR rows, whose sums stay in registers.
template <int kR, int kC>
TAMER_INLINE void MultiplyRows(const float* const* a, int64_t depth,
                               const float* panel, float* sums) {
  Lanes sum[kR][kC];
  const float* row[kR];
#pragma GCC unroll 6
  for (int r = 0; r < kR; ++r) {
    row[r] = a[r];
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) sum[r][c] = Lanes{};
  }
  for (int64_t d = 0; d < depth; ++d, panel += kC * kLaneCount) {
#pragma GCC unroll 6
    for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kC; ++c) {
        sum[r][c] += row[r][d] * LoadLanes(panel + c * kLaneCount);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) {
      StoreLanes(sum[r][c], sums + (r * kC + c) * kLaneCount);
    }
  }
}

template <int kC>
TAMER_INLINE void Multiply(const float* const* a, int count, int64_t depth,
                           const float* panel, float* sums) {
  constexpr int kWidth = kC * kLaneCount;
  int r = 0;
  for (; r + 6 <= count; r += 6) {
    MultiplyRows<6, kC>(a + r, depth, panel, sums + r * kWidth);
  }
  for (; r + 3 <= count; r += 3) {
    MultiplyRows<3, kC>(a + r, depth, panel, sums + r * kWidth);
  }
  for (; r < count; ++r) {
    MultiplyRows<1, kC>(a + r, depth, panel, sums + r * kWidth);
  }
}

TAMER_VECTORIZED void Multiply3(const float* const* a, int count, int64_t depth,
                                const float* panel, float* sums) {
  Multiply<3>(a, count, depth, panel, sums);
}

TAMER_VECTORIZED void Multiply4(const float* const* a, int count, int64_t depth,
                                const float* panel, float* sums) {
  Multiply<4>(a, count, depth, panel, sums);
}

}  // namespace

void MultiplyPanel(const float* const* a, int count, int64_t depth,
                   const float* panel, int vectors, float* sums) {
  return vectors == 3 ? Multiply3(a, count, depth, panel, sums)
                      : Multiply4(a, count, depth, panel, sums);
}

}  // namespace tamer
