#ifndef TAMER_OPS_INTERNAL_PANELS_H_
#define TAMER_OPS_INTERNAL_PANELS_H_

#include <algorithm>
#include <cstdint>

#include "ops/internal/lanes.h"
#include "ops/internal/matmul.h"
#include "ops/internal/tiles.h"

// Factors of a product in the order that tiles read: the left one in rows, the
// right one in panels of 64 columns, for a single row up to 256, [depth, width]
// each, one behind the other. A depth is one number, or with BF16 a pair.

#if TAMER_TILES

namespace tamer {
namespace tiles {

TAMER_BEGIN_TILES

// 32 numbers of a row as 16 pairs; those from `left` on are zero.
inline __m512i PairsOfRow(const float* row, int64_t left) {
  const __m512 low = _mm512_maskz_loadu_ps(left <= 0 ? 0 : MaskOf(left), row);
  const __m512 high = _mm512_maskz_loadu_ps(
      left <= kLanes ? 0 : MaskOf(left - kLanes), row + kLanes);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// 16 elements of a row, as many numbers as they hold; zeros from `left` on.
template <typename Kind>
Lanes ElementsOfRow(const float* row, int64_t left) {
  if constexpr (Kind::kPacked == 2) {
    return (Lanes)PairsOfRow(row, left);
  } else {
    return (Lanes)_mm512_maskz_loadu_ps(MaskOf(left), row);
  }
}

// A's rows, each in `depth` elements.
template <typename Kind>
void PackLeft(const float* from, const MatrixView& view, int64_t depth,
              typename Kind::Element* to) {
  const RowPrefetcher rows(from, view.rows, view.stride, view.columns);
  for (int64_t r = 0; r < view.rows; ++r) {
    const float* row = from + r * view.stride;
    rows.Enter(r);
    for (int64_t d = 0; d < depth; d += kLanes) {
      const int64_t c = Kind::kPacked * d;
      PrefetchToWrite(to + (r + 1) * depth + d);
      _mm512_mask_storeu_epi32(
          to + r * depth + d, MaskOf(depth - d),
          (__m512i)ElementsOfRow<Kind>(row + c, view.columns - c));
    }
  }
}

// B's rows, as many at a time as an element holds, in panels of `wide` columns.
template <typename Kind>
void PackRight(const float* from, const MatrixView& view,
               typename Kind::Element* to, int64_t wide = kPanel) {
  const int64_t depth = DepthOf<Kind>(view.rows);
  const __m512 one = _mm512_set1_ps(1);
  const RowPrefetcher rows(from, view.rows, view.stride, view.columns);
  for (int64_t d = 0; d < depth; ++d) {
    const int64_t first = Kind::kPacked * d;
    const float* row = from + first * view.stride;
    const float* next = first + 1 < view.rows ? row + view.stride : nullptr;
    for (int i = 0; i < Kind::kPacked; ++i) rows.Enter(first + i);
    for (int64_t c = 0; c < view.columns; c += kLanes) {
      typename Kind::Element* at =
          InPanels(to, depth, view.columns, d, c, wide);
      PrefetchToWrite(at + kPackAhead);
      Kind::Pack(row + c, next == nullptr ? nullptr : next + c,
                 MaskOf(view.columns - c), one, at);
    }
  }
}

// B transposed: its rows are columns of the factor, and depth runs along them.
template <typename Kind>
void PackRightTransposed(const float* from, const MatrixView& view,
                         typename Kind::Element* to) {
  const int64_t columns = view.rows, depth = DepthOf<Kind>(view.columns);
  for (int64_t c = 0; c < columns; c += kLanes) {
    for (int64_t next = c + kLanes;
         next < std::min<int64_t>(columns, c + 2 * kLanes); ++next) {
      Prefetch(from + next * view.stride, view.columns);
    }
    for (int64_t d = 0; d < depth; d += kLanes) {
      Lanes block[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        const float* row = from + (c + lane) * view.stride + Kind::kPacked * d;
        block[lane] =
            c + lane < columns
                ? ElementsOfRow<Kind>(row, view.columns - Kind::kPacked * d)
                : Lanes{};
      }
      TransposeLanes(block);
      const int64_t rows = std::min<int64_t>(kLanes, depth - d);
      for (int64_t i = 0; i < rows; ++i) {
        typename Kind::Element* at = InPanels(to, depth, columns, d + i, c);
        PrefetchToWrite(at + kLanes * kPanel);
        std::memcpy(at, &block[i], sizeof(block[i]));
      }
    }
  }
}

// Where a tile's sums are stored.
struct StoreSink {
  float* to;
  int64_t stride;
  __mmask16 last;

  // Row `row` of this tile: another core may have read what was there.
  template <int kR, int kC>
  TAMER_INLINE void Foresee(int row) const {
#pragma GCC unroll 16
    for (int c = 0; c < kC; ++c) {
      PrefetchToWrite(to + row * stride + c * kLanes);
    }
  }

  template <int kR, int kC>
  TAMER_INLINE void Take(const __m512 (&sum)[kR][kC]) const {
#pragma GCC unroll 6
    for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 16
      for (int c = 0; c < kC; ++c) {
        _mm512_mask_storeu_ps(to + r * stride + c * kLanes,
                              c == kC - 1 ? last : 0xffff, sum[r][c]);
      }
    }
  }
};

struct StoreSinks {
  float* c;
  int64_t stride;
  TAMER_INLINE StoreSink At(int64_t row, int64_t column, __mmask16 last) const {
    return {c + row * stride + column, stride, last};
  }
};

TAMER_END_TILES

}  // namespace tiles
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_PANELS_H_
