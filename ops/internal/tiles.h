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
  static constexpr int kMagnitude = 0x7fffffff;  // its bits but the sign
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
  static constexpr int kMagnitude = 0x7fff7fff;
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

// How many elements hold `k` numbers of depth.
template <typename Kind>
int64_t DepthOf(int64_t k) {
  return (k + Kind::kPacked - 1) / Kind::kPacked;
}

// A stretch of depth of the left factor: element (row r, depth d) is at
// a[r * row_step + d * depth_step].
template <typename Element>
struct Strip {
  const Element* a;
  int64_t row_step, depth_step;
  int64_t depth;
};

// The depths of a strip at which not all rows of a tile are zero.
struct Kept {
  const int32_t* depths;
  int64_t count;
};

// One tile: sums over all strips, or with kSome over their kept depths, `b`
// being packed [depth, kC * kLanes]. `sink` is told that it may foresee (fetch
// what it will need) kR times, and then takes the sums.
template <typename Kind, int kR, int kC, bool kSome, typename Sink>
TAMER_INLINE void Tile(const Strip<typename Kind::Element>* strips,
                       int num_strips, const Kept* kept, int64_t row,
                       const typename Kind::Element* b, const Sink& sink) {
  using Element = typename Kind::Element;
  __m512 sum[kR][kC];
#pragma GCC unroll 6
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < kC; ++c) sum[r][c] = _mm512_setzero_ps();
  }
  int foreseen = 0;
  for (int s = 0; s < num_strips; ++s) {
    const Strip<Element>& strip = strips[s];
    const Element* a = strip.a + row * strip.row_step;
    const int64_t count = kSome ? kept[s].count : strip.depth;
    for (int64_t i = 0; i < count; ++i) {
      if (foreseen < kR) sink.template Foresee<kR, kC>(foreseen++);
      const int64_t d = kSome ? kept[s].depths[i] : i;
      const Element* left = a + d * strip.depth_step;
      const Element* right = b + d * (kC * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 16
        for (int c = 0; c < kC; ++c) {
          sum[r][c] = Kind::MultiplyAdd(left[r * strip.row_step],
                                        right + c * kLanes, sum[r][c]);
        }
      }
    }
    b += strip.depth * (kC * kLanes);
  }
  sink.template Take<kR, kC>(sum);
}

// A tile of `vectors` vectors in a row, kC at most.
template <typename Kind, int kR, int kC, bool kSome, typename Sink>
TAMER_INLINE void TileOfWidth(const Strip<typename Kind::Element>* strips,
                              int num_strips, const Kept* kept, int64_t row,
                              const typename Kind::Element* b, int64_t vectors,
                              const Sink& sink) {
  if (vectors >= kC) {
    return Tile<Kind, kR, kC, kSome>(strips, num_strips, kept, row, b, sink);
  }
  if constexpr (kC > 1) {
    TileOfWidth<Kind, kR, kC - 1, kSome>(strips, num_strips, kept, row, b,
                                         vectors, sink);
  }
}

// A product's factors, ready for tiles: b in panels of up to 64 columns, each
// [depth, width], one behind the other.
template <typename Element>
struct Factors {
  const Strip<Element>* strips;
  int num_strips;
  const Element* b;
  int64_t depth, columns;
  // Room for FindKept; null if zeros are multiplied like all else.
  int32_t* kept = nullptr;
};

// Where column `c` of packed depth `d` stands, in panels of `wide` columns.
template <typename Element>
Element* InPanels(Element* to, int64_t depth, int64_t columns, int64_t d,
                  int64_t c, int64_t wide = kPanel) {
  const int64_t panel = c / wide * wide;
  const int64_t width = std::min<int64_t>(wide, InLanes(columns - panel));
  return to + panel * depth + d * width + (c - panel);
}

// How far ahead of what is packed a panel's lines are asked for.
constexpr int64_t kPackAhead = 4 * kPanel;

// How many of B's columns, whole panels, are packed at a time: all rows of
// tiles meet them while they are in the core's own cache.
inline int64_t BlockWidth(int64_t depth, int64_t columns) {
  constexpr int64_t kElements = (256 << 10) / sizeof(float);
  const int64_t panels = (columns + kPanel - 1) / kPanel;
  const int64_t fit = std::max<int64_t>(1, kElements / (depth * kPanel));
  const int64_t blocks = (panels + fit - 1) / fit;
  return (panels + blocks - 1) / blocks * kPanel;
}

constexpr int kMostStrips = 8;

// Numbers of room that FindKept needs.
inline int64_t KeptRoom(int64_t depth) { return depth + kLanes; }

// Of how many columns on a search is worth its time: for a tile or two it takes
// as long as what it finds saves.
constexpr int64_t kWorthASearch = 2 * kPanel;

// Finds at which depths the kR rows from `row` on aren't all zero: pixels at
// the edge of an image, dropped ones, units that are never at work. Zeros
// change no sum, so neither does it to leave them out. False if that isn't
// worth while.
template <typename Kind, int kR>
inline bool FindKept(const Factors<typename Kind::Element>& factors,
                     int64_t row, Kept* kept) {
  const __m512i magnitude = _mm512_set1_epi32(Kind::kMagnitude);
  int32_t* to = factors.kept;
  for (int s = 0; s < factors.num_strips; ++s) {
    const Strip<typename Kind::Element>& strip = factors.strips[s];
    const auto* a = strip.a + row * strip.row_step;
    int32_t* const begin = to;
    if (strip.row_step == 1) {
      for (int64_t d = 0; d < strip.depth; ++d, a += strip.depth_step) {
        const __m512i rows = _mm512_maskz_loadu_epi32((1 << kR) - 1, a);
        *to = static_cast<int32_t>(d);
        to += _mm512_test_epi32_mask(rows, magnitude) != 0;
      }
    } else {
      __m512i depths = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5,
                                        4, 3, 2, 1, 0);
      for (int64_t d = 0; d < strip.depth; d += kLanes) {
        const __mmask16 mask = MaskOf(strip.depth - d);
        __m512i any = _mm512_setzero_si512();
        for (int r = 0; r < kR; ++r) {
          any = _mm512_or_si512(
              any, _mm512_maskz_loadu_epi32(mask, a + r * strip.row_step + d));
        }
        const __mmask16 found = _mm512_test_epi32_mask(any, magnitude);
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(found, depths));
        to += __builtin_popcount(found);
        depths = _mm512_add_epi32(depths, _mm512_set1_epi32(kLanes));
      }
    }
    kept[s] = {begin, to - begin};
  }
  return to - factors.kept < factors.depth - factors.depth / 8;
}

// How many of `depth` elements are zero.
template <typename Kind>
inline int64_t CountZeros(const typename Kind::Element* a, int64_t depth) {
  const __m512i magnitude = _mm512_set1_epi32(Kind::kMagnitude);
  int64_t zeros = 0;
  for (int64_t d = 0; d < depth; d += kLanes) {
    const __mmask16 mask = MaskOf(depth - d);
    const __m512i some = _mm512_maskz_loadu_epi32(mask, a + d);
    zeros +=
        __builtin_popcount(_mm512_mask_testn_epi32_mask(mask, some, magnitude));
  }
  return zeros;
}

// The tiles of kR rows from `row` on; sink_at(row, column, mask of the last
// vector) makes the sink of each.
template <typename Kind, int kR, bool kSome = false, typename SinkAt>
TAMER_INLINE void RowOfTiles(const Factors<typename Kind::Element>& factors,
                             int64_t row, const SinkAt& sink_at,
                             const Kept* kept = nullptr) {
  const typename Kind::Element* b = factors.b;
  int64_t column = 0;
  for (; column + kPanel <= factors.columns; column += kPanel) {
    Tile<Kind, kR, kVectors, kSome>(factors.strips, factors.num_strips, kept,
                                    row, b, sink_at.At(row, column, 0xffff));
    b += factors.depth * kPanel;
  }
  const int64_t left = factors.columns - column;
  if (left == 0) return;
  const auto sink = sink_at.At(row, column, MaskOf((left - 1) % kLanes + 1));
  TileOfWidth<Kind, kR, kVectors, kSome>(factors.strips, factors.num_strips,
                                         kept, row, b, InLanes(left) / kLanes,
                                         sink);
}

// The same, without the depths at which these rows are zero, if there is room
// to look for them. Returns whether there were enough of those.
template <typename Kind, int kR, typename SinkAt>
TAMER_INLINE bool RowOfKeptTiles(const Factors<typename Kind::Element>& factors,
                                 int64_t row, const SinkAt& sink_at) {
  Kept kept[kMostStrips];
  if (factors.kept != nullptr && FindKept<Kind, kR>(factors, row, kept)) {
    RowOfTiles<Kind, kR, true>(factors, row, sink_at, kept);
    return true;
  }
  RowOfTiles<Kind, kR>(factors, row, sink_at);
  return false;
}

// All tiles of rows [rows.begin, rows.end), upwards: what walked down through
// the same rows before has left the lowest in the cache, and what walks down
// next will find the uppermost. Returns whether zeros were left out.
//
// Never part of its caller: among the caller's variables too few registers are
// left for a tile's addresses, 8 % of a step of training.
template <typename Kind, typename SinkAt>
__attribute__((noinline)) bool AllTiles(
    const Factors<typename Kind::Element>& factors, IndexRange rows,
    const SinkAt& sink_at) {
  bool some = false;
  int64_t row = rows.end;
  for (; row - kRows >= rows.begin; row -= kRows) {
    some |= RowOfKeptTiles<Kind, kRows>(factors, row - kRows, sink_at);
  }
  for (; row - 3 >= rows.begin; row -= 3) {
    some |= RowOfKeptTiles<Kind, 3>(factors, row - 3, sink_at);
  }
  for (; row > rows.begin; --row) {
    some |= RowOfKeptTiles<Kind, 1>(factors, row - 1, sink_at);
  }
  return some;
}

TAMER_END_TILES

}  // namespace tiles
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_TILES_H_
