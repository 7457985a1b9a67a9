#ifndef TAMER_OPS_INTERNAL_TILE_UPDATE_H_
#define TAMER_OPS_INTERNAL_TILE_UPDATE_H_

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/gradient_product.h"
#include "ops/internal/prefetch.h"

// Update of a parameter by a gradient that never leaves the registers. The
// gradient sum_i factor_i * a_i' b_i is made in tiles of 6 rows and 64 columns;
// as soon as a tile is complete the update rule is applied to it. At a
// minibatch of 10 an update of its own would take as long as the product; here
// it hides in the product's shadow, the parameter's next rows being fetched
// while a tile is summed.
//
// For AVX-512, in FP32 or with factors in BF16. Elsewhere gradient_product.h
// does the same with blocks of rows.

#if defined(__x86_64__) && !defined(__clang__)
#define TAMER_TILES 1
// GCC 12 takes its intrinsics' don't-cares for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#define TAMER_TILES 0
#endif

namespace tamer {

// What an update rule may do beside arithmetic, for a number or a vector.
inline void TakeRoot(float& x) { x = std::sqrt(x); }

// Deeper products than this spend so little in the update that oneDNN's
// blocking of the depth is worth more.
constexpr int64_t kDeepestTile = 512;

// A parameter and up to two states of its rule, [rows, columns].
struct UpdatedMatrix {
  float* parameter = nullptr;
  float* state[2] = {nullptr, nullptr};
};

#if TAMER_TILES

inline bool CanTile(const GradientShape& shape) {
  int64_t depth = 0;
  for (const GradientShape::Term& term : shape.terms) depth += term.depth;
  return depth <= kDeepestTile && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") &&
         (shape.precision == FP32 || __builtin_cpu_supports("avx512bf16"));
}

// BF16 instructions are only where their intrinsics are, so FP32 runs on CPUs
// that lack them.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512bf16")

inline void TakeRoot(__m512& x) { x = _mm512_maskz_sqrt_ps(0xffff, x); }

namespace tiles {

constexpr int kLanes = 16;
constexpr int kRows = 6, kVectors = 4;  // of a tile: 24 sums in registers
constexpr int kPanel = kVectors * kLanes;

// Factors in FP32: an element is a number.
struct Singles {
  using Element = float;
  static constexpr int kPacked = 1;  // rows of depth an element
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

// Factors in BF16: an element is a column's numbers of two rows.
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

// A stretch of depth: element (d, r) of a is at a[d * stride + r].
template <typename Element>
struct Strip {
  const Element* a;
  int64_t stride, depth;
};

// Where a tile's row r of a matrix is: at + r * columns.
struct TileAt {
  float* parameter;
  float* state[2];
  int64_t columns;
  __mmask16 last;  // of the last vector in a row
};

template <int kStates, int kR, int kC>
TAMER_INLINE void PrefetchRow(const TileAt& at, int64_t row) {
  const int64_t offset = row * at.columns;
#pragma GCC unroll 4
  for (int c = 0; c < kC; ++c) {
    const int64_t i = offset + c * kLanes;
    _mm_prefetch(reinterpret_cast<const char*>(at.parameter + i), _MM_HINT_T0);
#pragma GCC unroll 2
    for (int s = 0; s < kStates; ++s) {
      _mm_prefetch(reinterpret_cast<const char*>(at.state[s] + i), _MM_HINT_T0);
    }
  }
}

template <typename Rule, int kR, int kC>
TAMER_INLINE void Apply(const Rule& rule, const TileAt& at,
                        const __m512 (&sum)[kR][kC]) {
#pragma GCC unroll 6
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) {
      const int64_t i = r * at.columns + c * kLanes;
      const __mmask16 mask = c == kC - 1 ? at.last : 0xffff;
      __m512 p = _mm512_maskz_loadu_ps(mask, at.parameter + i);
      __m512 s[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
      for (int k = 0; k < Rule::kStates; ++k) {
        s[k] = _mm512_maskz_loadu_ps(mask, at.state[k] + i);
      }
      rule(p, sum[r][c], s[0], s[1]);
      _mm512_mask_storeu_ps(at.parameter + i, mask, p);
      for (int k = 0; k < Rule::kStates; ++k) {
        _mm512_mask_storeu_ps(at.state[k] + i, mask, s[k]);
      }
    }
  }
}

// One tile: sums over all strips, `b` being packed [depth, kC * kLanes]; then
// the rule.
template <typename Kind, typename Rule, int kR, int kC>
TAMER_INLINE void Tile(const Strip<typename Kind::Element>* strips,
                       int num_strips, int64_t row,
                       const typename Kind::Element* b, const Rule& rule,
                       const TileAt& at) {
  __m512 sum[kR][kC];
#pragma GCC unroll 6
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) sum[r][c] = _mm512_setzero_ps();
  }
  int64_t fetched = kR;  // rows of this tile; the next ones are fetched now
  for (int s = 0; s < num_strips; ++s) {
    const typename Kind::Element* a = strips[s].a + row;
    for (int64_t d = 0; d < strips[s].depth; ++d) {
      if (fetched < 2 * kR) {
        PrefetchRow<Rule::kStates, kR, kC>(at, fetched++);
      }
#pragma GCC unroll 6
      for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < kC; ++c) {
          sum[r][c] = Kind::MultiplyAdd(a[r], b + c * kLanes, sum[r][c]);
        }
      }
      a += strips[s].stride;
      b += kC * kLanes;
    }
  }
  Apply<Rule, kR, kC>(rule, at, sum);
}

// A thread's work: rows [begin, end) of the parameter.
template <typename Kind, typename Rule>
class Worker {
 public:
  using Element = typename Kind::Element;

  Worker(const GradientShape& shape, const UpdatedMatrix& matrix,
         const Rule& rule, Element* packed)
      : shape_(shape), matrix_(matrix), rule_(rule), packed_(packed) {}

  // Elements of scratch that a thread needs.
  static int64_t PackedElements(const GradientShape& shape) {
    const int64_t width = (shape.columns + kLanes - 1) / kLanes * kLanes;
    const int64_t rows = (shape.rows + kLanes) / kLanes * kLanes;
    return Depth(shape) * (width + (Kind::kPacked > 1 ? rows : 0));
  }

  void Run(const KernelArgs& args, IndexRange rows) {
    depth_ = Depth(shape_);
    PackB(args);
    TakeA(args, rows);
    int64_t row = rows.begin;
    for (; row + kRows <= rows.end; row += kRows) RowOfTiles<kRows>(row);
    for (; row < rows.end; ++row) RowOfTiles<1>(row);
  }

 private:
  static int64_t Depth(const GradientShape& shape) {
    int64_t depth = 0;
    for (const GradientShape::Term& term : shape.terms) {
      depth += (term.depth + Kind::kPacked - 1) / Kind::kPacked;
    }
    return depth;
  }

  static __mmask16 Mask(int64_t columns) {
    return columns >= kLanes ? 0xffff : (1u << columns) - 1;
  }

  // Packs `columns` of `term`'s rows from `from`: row d goes to d * stride.
  Element* PackRows(const GradientShape::Term& term, const float* from,
                    int64_t from_stride, int64_t columns, float factor,
                    int64_t stride, Element* to) {
    const __m512 scale = _mm512_set1_ps(factor);
    for (int64_t d = 0; d < term.depth; d += Kind::kPacked) {
      const float* row = from + d * from_stride;
      const float* next = d + 1 < term.depth ? row + from_stride : nullptr;
      Prefetch(row + 4 * from_stride, columns);
      if (Kind::kPacked > 1) Prefetch(row + 5 * from_stride, columns);
      for (int64_t c = 0; c < columns; c += kLanes) {
        Kind::Pack(row + c, next == nullptr ? nullptr : next + c,
                   Mask(columns - c), scale, to + c);
      }
      to += stride;
    }
    return to;
  }

  // b in panels of up to 64 columns, each [depth, its width].
  void PackB(const KernelArgs& args) {
    Element* to = packed_;
    for (int64_t begin = 0; begin < shape_.columns; begin += kPanel) {
      const int64_t columns = std::min<int64_t>(kPanel, shape_.columns - begin);
      const int64_t width = (columns + kLanes - 1) / kLanes * kLanes;
      for (size_t i = 0; i < shape_.terms.size(); ++i) {
        to = PackRows(shape_.terms[i], args.inputs[2 + 2 * i].floats() + begin,
                      shape_.columns, columns, shape_.terms[i].factor, width,
                      to);
      }
    }
    after_b_ = to;
  }

  // a as it lies, or in pairs the rows that this thread needs.
  void TakeA(const KernelArgs& args, IndexRange rows) {
    num_strips_ = 0;
    const int64_t stride = (rows.size() + kLanes) / kLanes * kLanes;
    Element* to = after_b_;
    for (size_t i = 0; i < shape_.terms.size(); ++i) {
      const GradientShape::Term& term = shape_.terms[i];
      const float* a = args.inputs[1 + 2 * i].floats();
      if constexpr (Kind::kPacked == 1) {
        strips_[num_strips_++] = {a, shape_.rows, term.depth};
      } else {
        to = PackRows(term, a + rows.begin, shape_.rows, rows.size(), 1, stride,
                      to);
      }
    }
    if constexpr (Kind::kPacked > 1) {
      strips_[num_strips_++] = {after_b_ - rows.begin, stride, depth_};
    }
  }

  template <int kR>
  void RowOfTiles(int64_t row) {
    const Element* b = packed_;
    int64_t column = 0;
    for (; column + kPanel <= shape_.columns; column += kPanel) {
      RunTile<kR, kVectors>(row, column, 0xffff, b);
      b += depth_ * kPanel;
    }
    const int64_t left = shape_.columns - column;
    if (left == 0) return;
    const __mmask16 last = Mask((left - 1) % kLanes + 1);
    switch ((left + kLanes - 1) / kLanes) {
      case 1:
        return RunTile<kR, 1>(row, column, last, b);
      case 2:
        return RunTile<kR, 2>(row, column, last, b);
      case 3:
        return RunTile<kR, 3>(row, column, last, b);
      default:
        return RunTile<kR, 4>(row, column, last, b);
    }
  }

  template <int kR, int kC>
  void RunTile(int64_t row, int64_t column, __mmask16 last, const Element* b) {
    const int64_t offset = row * shape_.columns + column;
    TileAt at{
        matrix_.parameter + offset, {nullptr, nullptr}, shape_.columns, last};
    for (int s = 0; s < Rule::kStates; ++s) {
      at.state[s] = matrix_.state[s] + offset;
    }
    Tile<Kind, Rule, kR, kC>(strips_, num_strips_, row, b, rule_, at);
  }

  static constexpr int kMostTerms = 8;
  const GradientShape& shape_;
  const UpdatedMatrix matrix_;
  const Rule rule_;
  Element* packed_;
  Element* after_b_ = nullptr;
  int64_t depth_ = 0;
  Strip<Element> strips_[kMostTerms];
  int num_strips_ = 0;
};

}  // namespace tiles

#pragma GCC pop_options

// Bytes of scratch that each thread's TileUpdate needs.
template <typename Rule>
int64_t TileScratchBytes(const GradientShape& shape) {
  return Aligned(
      4 * (shape.precision == BF16
               ? tiles::Worker<tiles::Pairs, Rule>::PackedElements(shape)
               : tiles::Worker<tiles::Singles, Rule>::PackedElements(shape)));
}

// Updates rows [rows.begin, rows.end) of `matrix`.
template <typename Rule>
void TileUpdate(const GradientShape& shape, const KernelArgs& args,
                const UpdatedMatrix& matrix, const Rule& rule, IndexRange rows,
                void* scratch) {
  if (rows.size() == 0) return;
  if (shape.precision == BF16) {
    tiles::Worker<tiles::Pairs, Rule>(shape, matrix, rule,
                                      static_cast<uint32_t*>(scratch))
        .Run(args, rows);
  } else {
    tiles::Worker<tiles::Singles, Rule>(shape, matrix, rule,
                                        static_cast<float*>(scratch))
        .Run(args, rows);
  }
}

#else  // no tiles

inline bool CanTile(const GradientShape&) { return false; }
template <typename Rule>
int64_t TileScratchBytes(const GradientShape&) {
  return 0;
}
template <typename Rule>
void TileUpdate(const GradientShape&, const KernelArgs&, const UpdatedMatrix&,
                const Rule&, IndexRange, void*) {}

#endif  // TAMER_TILES

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_TILE_UPDATE_H_
