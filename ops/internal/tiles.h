#ifndef TAMER_OPS_INTERNAL_TILES_H_
#define TAMER_OPS_INTERNAL_TILES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/parallel.h"
#include "ops/internal/prefetch.h"

// Products of matrices in tiles of 6 rows and 64 columns whose sums stay in
// AVX-512 registers, for what oneDNN has no primitive: what becomes of a tile's
// sums is the caller's affair. Factors are FP32, or BF16 in pairs.

#if defined(__x86_64__) && !defined(__clang__)
#define TAMER_TILES 1
// GCC 12 takes its intrinsics' don't-cares for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
// BF16 instructions are only where their intrinsics are, so FP32 runs on CPUs
// that lack them.
#define TAMER_BEGIN_TILES     \
  _Pragma("GCC push_options") \
      _Pragma("GCC target(\"avx512f,avx512bw,avx512vl,avx512bf16\")")
#define TAMER_END_TILES _Pragma("GCC pop_options")
#else
#define TAMER_TILES 0
#endif

namespace tamer {

inline bool HasTiles(bool bf16) {
#if TAMER_TILES
  return __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") &&
         (!bf16 || __builtin_cpu_supports("avx512bf16"));
#else
  return bf16 && false;
#endif
}

}  // namespace tamer

#if TAMER_TILES

namespace tamer {
namespace tiles {

TAMER_BEGIN_TILES

constexpr int kLanes = 16;
constexpr int kRows = 6, kVectors = 4;  // of a tile: 24 sums in registers
constexpr int kPanel = kVectors * kLanes;

inline __mmask16 MaskOf(int64_t columns) {
  return columns >= kLanes ? 0xffff : (1u << columns) - 1;
}

// `n` rounded up to whole vectors.
inline int64_t InLanes(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Factors in FP32: an element is a number.
struct Singles {
  using Element = float;
  static constexpr int kPacked = 1;  // numbers of depth in an element
  static TAMER_INLINE __m512 MultiplyAdd(float a, const float* b, __m512 sum) {
    return _mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_loadu_ps(b), sum);
  }
  // 16 columns of a row, scaled; those not in `mask` are zero.
  static inline void Pack(const float* row, const float*, __mmask16 mask,
                          __m512 scale, float* to) {
    _mm512_storeu_ps(to,
                     _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(mask, row)));
  }
};

// Factors in BF16: an element is two numbers that follow one another in depth.
struct Pairs {
  using Element = uint32_t;
  static constexpr int kPacked = 2;
  static TAMER_INLINE __m512 MultiplyAdd(uint32_t a, const uint32_t* b,
                                         __m512 sum) {
    return _mm512_dpbf16_ps(sum,
                            (__m512bh)_mm512_set1_epi32(static_cast<int>(a)),
                            (__m512bh)_mm512_loadu_si512(b));
  }
  // `next` is the second row, null for zeros.
  static inline void Pack(const float* row, const float* next, __mmask16 mask,
                          __m512 scale, uint32_t* to) {
    const __m512 low = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(mask, row));
    const __m512 high =
        next == nullptr
            ? _mm512_setzero_ps()
            : _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(mask, next));
    const __m512i low_bits =
        _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
    const __m512i high_bits =
        _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
    _mm512_storeu_si512(
        to, _mm512_or_si512(low_bits, _mm512_slli_epi32(high_bits, 16)));
  }
};

// A stretch of depth of the left factor: element (row r, depth d) is at
// a[r * row_step + d * depth_step].
template <typename Element>
struct Strip {
  const Element* a;
  int64_t row_step, depth_step;
  int64_t depth;
};

// One tile: sums over all strips, `b` being packed [depth, kC * kLanes].
// `sink` is told that it may foresee (fetch what it will need) kR times, and
// then takes the sums.
template <typename Kind, int kR, int kC, typename Sink>
TAMER_INLINE void Tile(const Strip<typename Kind::Element>* strips,
                       int num_strips, int64_t row,
                       const typename Kind::Element* b, const Sink& sink) {
  __m512 sum[kR][kC];
#pragma GCC unroll 6
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) sum[r][c] = _mm512_setzero_ps();
  }
  int foreseen = 0;
  for (int s = 0; s < num_strips; ++s) {
    const Strip<typename Kind::Element>& strip = strips[s];
    const typename Kind::Element* a = strip.a + row * strip.row_step;
    for (int64_t d = 0; d < strip.depth; ++d) {
      if (foreseen < kR) sink.template Foresee<kR, kC>(foreseen++);
#pragma GCC unroll 6
      for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < kC; ++c) {
          sum[r][c] = Kind::MultiplyAdd(a[r * strip.row_step], b + c * kLanes,
                                        sum[r][c]);
        }
      }
      a += strip.depth_step;
      b += kC * kLanes;
    }
  }
  sink.template Take<kR, kC>(sum);
}

// A product's factors, ready for tiles: b in panels of up to 64 columns, each
// [depth, width], one behind the other.
template <typename Element>
struct Factors {
  const Strip<Element>* strips;
  int num_strips;
  const Element* b;
  int64_t depth, columns;
};

// The tiles of kR rows from `row` on; sink_at(row, column, mask of the last
// vector) makes the sink of each.
template <typename Kind, int kR, typename SinkAt>
TAMER_INLINE void RowOfTiles(const Factors<typename Kind::Element>& factors,
                             int64_t row, const SinkAt& sink_at) {
  const typename Kind::Element* b = factors.b;
  int64_t column = 0;
  for (; column + kPanel <= factors.columns; column += kPanel) {
    Tile<Kind, kR, kVectors>(factors.strips, factors.num_strips, row, b,
                             sink_at.At(row, column, 0xffff));
    b += factors.depth * kPanel;
  }
  const int64_t left = factors.columns - column;
  if (left == 0) return;
  const auto sink = sink_at.At(row, column, MaskOf((left - 1) % kLanes + 1));
  switch ((left + kLanes - 1) / kLanes) {
    case 1:
      return Tile<Kind, kR, 1>(factors.strips, factors.num_strips, row, b,
                               sink);
    case 2:
      return Tile<Kind, kR, 2>(factors.strips, factors.num_strips, row, b,
                               sink);
    case 3:
      return Tile<Kind, kR, 3>(factors.strips, factors.num_strips, row, b,
                               sink);
    default:
      return Tile<Kind, kR, 4>(factors.strips, factors.num_strips, row, b,
                               sink);
  }
}

// All tiles of rows [rows.begin, rows.end), upwards: what walked down through
// the same rows before has left the lowest in the cache, and what walks down
// next will find the uppermost.
template <typename Kind, typename SinkAt>
void AllTiles(const Factors<typename Kind::Element>& factors, IndexRange rows,
              const SinkAt& sink_at) {
  int64_t row = rows.end;
  for (; row - kRows >= rows.begin; row -= kRows) {
    RowOfTiles<Kind, kRows>(factors, row - kRows, sink_at);
  }
  for (; row - 3 >= rows.begin; row -= 3) {
    RowOfTiles<Kind, 3>(factors, row - 3, sink_at);
  }
  for (; row > rows.begin; --row) {
    RowOfTiles<Kind, 1>(factors, row - 1, sink_at);
  }
}

TAMER_END_TILES

}  // namespace tiles
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_TILES_H_
