#ifndef TAMER_OPS_INTERNAL_TILE_UPDATE_H_
#define TAMER_OPS_INTERNAL_TILE_UPDATE_H_

#include "core/base/tensor.h"
#include "ops/internal/gradient_product.h"
#include "ops/internal/tiles.h"

// Update of a parameter by a gradient that never leaves the registers. The
// gradient sum_i factor_i * a_i' b_i is made in tiles; as soon as a tile is
// complete the update rule is applied to it. At a minibatch of 10 an update of
// its own would take as long as the product; here it hides in the product's
// shadow, the parameter's next rows being fetched while a tile is summed.
//
// For AVX-512, in FP32 or with factors in BF16. Elsewhere gradient_product.h
// does the same with blocks of rows.

namespace tamer {

// A panel deeper than this doesn't fit a core's own cache.
constexpr int64_t kDeepestTile = 2048;
// In FP32, of factors without zeros, oneDNN's blocks are worth more beyond this
// depth than what is saved by never storing a gradient. BF16's would be rounded
// anew for each block.
constexpr int64_t kDeepestDenseTile = 256;

inline int64_t TotalDepth(const GradientShape& shape) {
  int64_t depth = 0;
  for (const GradientShape::Term& term : shape.terms) depth += term.depth;
  return depth;
}

// What an update rule may do beside arithmetic, for a number or a vector.
inline void TakeRoot(float& x) { x = std::sqrt(x); }

// A parameter and up to two states of its rule, [rows, columns].
struct UpdatedMatrix {
  float* parameter = nullptr;
  float* state[2] = {nullptr, nullptr};
};

inline bool CanTile(const GradientShape& shape) {
  return TotalDepth(shape) <= kDeepestTile && HasTiles(shape.precision == BF16);
}

#if TAMER_TILES

TAMER_BEGIN_TILES

inline void TakeRoot(__m512& x) { x = _mm512_maskz_sqrt_ps(0xffff, x); }

namespace tiles {

// Where a tile's sums are applied.
template <typename Rule>
struct UpdateSink {
  const Rule& rule;
  float* parameter;  // the tile's first element
  float* state[2];
  int64_t columns;  // of the matrix
  __mmask16 last;   // of the last vector in a row
  // The tile that comes next: where its first row begins, from here, and what
  // leads to the others; how many rows of it are this thread's; its vectors.
  int64_t next, next_step, next_rows;
  int next_vectors;

  // Row `row` of the next tile. More tiles ahead push the packed factor out of
  // the first-level cache.
  template <int kR, int kC>
  TAMER_INLINE void Foresee(int row) const {
    if (row >= next_rows) return;
    const int64_t offset = next + row * next_step;
    for (int c = 0; c < next_vectors; ++c) {
      const int64_t i = offset + c * kLanes;
      PrefetchToWrite(parameter + i);
#pragma GCC unroll 2
      for (int s = 0; s < Rule::kStates; ++s) PrefetchToWrite(state[s] + i);
    }
  }

  template <int kR, int kC>
  TAMER_INLINE void Take(const __m512 (&sum)[kR][kC]) const {
#pragma GCC unroll 6
    for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kC; ++c) {
        const int64_t i = r * columns + c * kLanes;
        const __mmask16 mask = c == kC - 1 ? last : 0xffff;
        __m512 p = _mm512_maskz_loadu_ps(mask, parameter + i);
        __m512 s[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        for (int k = 0; k < Rule::kStates; ++k) {
          s[k] = _mm512_maskz_loadu_ps(mask, state[k] + i);
        }
        rule(p, sum[r][c], s[0], s[1]);
        _mm512_mask_storeu_ps(parameter + i, mask, p);
        for (int k = 0; k < Rule::kStates; ++k) {
          _mm512_mask_storeu_ps(state[k] + i, mask, s[k]);
        }
      }
    }
  }
};

template <typename Rule>
struct UpdateSinks {
  const Rule& rule;
  const UpdatedMatrix& matrix;  // from this block of columns on
  int64_t columns;              // of the whole matrix
  int64_t width;                // of the block
  int64_t begin;                // of this thread's rows

  TAMER_INLINE UpdateSink<Rule> At(int64_t row, int64_t column,
                                   __mmask16 last) const {
    const int64_t offset = row * columns + column;
    UpdateSink<Rule> sink{rule,
                          matrix.parameter + offset,
                          {nullptr, nullptr},
                          columns,
                          last,
                          kPanel,
                          columns,
                          kRows,
                          kVectors};
    int64_t right = column + kPanel;
    if (right >= width) {  // in the rows above
      right = 0;
      sink.next = -column - columns;
      sink.next_step = -columns;
      sink.next_rows = row - begin;
    }
    sink.next_vectors = static_cast<int>(
        std::min<int64_t>(kVectors, (width - right + kLanes - 1) / kLanes));
    for (int s = 0; s < Rule::kStates; ++s) {
      sink.state[s] = matrix.state[s] + offset;
    }
    return sink;
  }
};

// Whether it looks as if tiles had zeros to leave out, by the middle depth of
// the first product.
inline bool HasZeros(const GradientShape& shape, const KernelArgs& args) {
  const float* a =
      args.inputs[1].floats() + shape.terms[0].depth / 2 * shape.rows;
  const __m512i magnitude = _mm512_set1_epi32(Singles::kMagnitude);
  int64_t tiles = 0, blank = 0;
  for (int64_t r = 0; r + kRows <= shape.rows; r += kRows, ++tiles) {
    const __m512i values = _mm512_maskz_loadu_epi32((1 << kRows) - 1, a + r);
    blank += _mm512_test_epi32_mask(values, magnitude) == 0;
  }
  return blank > tiles / 4;
}

// Packs the factors of a gradient for one thread.
template <typename Kind>
class GradientFactors {
 public:
  using Element = typename Kind::Element;

  // Columns that are packed at a time: of deep products a panel, which then
  // meets all rows; others take so short that the parameter's order in memory
  // counts for more.
  static int64_t Width(const GradientShape& shape) {
    const int64_t depth = Depth(shape);
    const int64_t width =
        depth > kDeep ? kPanel : BlockWidth(depth, shape.columns);
    return std::min(shape.columns, width);
  }

  // Elements of memory for any thread.
  static int64_t Elements(const GradientShape& shape) {
    const int64_t rows = Kind::kPacked > 1 ? RowOfPairs(shape.rows) : 0;
    return Depth(shape) * (InLanes(Width(shape)) + rows);
  }

  GradientFactors(const GradientShape& shape, const KernelArgs& args,
                  IndexRange rows, Element* memory)
      : shape_(shape), args_(args), depth_(Depth(shape)), b_(memory) {
    TakeA(rows, memory + depth_ * InLanes(Width(shape)));
    // For each panel a search would take as long as a third of its tiles.
    if (depth_ > kDeep ? HasZeros(shape, args)
                       : Width(shape) >= kWorthASearch) {
      room_ = kept_;
    }
  }
  GradientFactors(const GradientFactors&) = delete;
  GradientFactors& operator=(const GradientFactors&) = delete;

  // With b's columns [begin, end), which are packed for it.
  Factors<Element> WithColumns(int64_t begin, int64_t end) {
    PackB(begin, end);
    return {strips_, num_strips_, b_, depth_, end - begin, room_};
  }

 private:
  static constexpr int64_t kDeep = 256;

  static int64_t Depth(const GradientShape& shape) {
    int64_t depth = 0;
    for (const GradientShape::Term& term : shape.terms) {
      depth += DepthOf<Kind>(term.depth);
    }
    return depth;
  }

  // Packs `columns` of `depth` rows from `from`; column c of packed row d goes
  // to `to(d, c)`.
  template <typename To>
  static void PackRows(int64_t depth, const float* from, int64_t stride,
                       int64_t columns, float factor, const To& to) {
    const __m512 scale = _mm512_set1_ps(factor);
    const RowPrefetcher rows(from, depth, stride, columns);
    for (int64_t d = 0; d < depth; d += Kind::kPacked) {
      const float* row = from + d * stride;
      const float* next = d + 1 < depth ? row + stride : nullptr;
      rows.Enter(d);
      if (Kind::kPacked > 1) rows.Enter(d + 1);
      for (int64_t c = 0; c < columns; c += kLanes) {
        Element* at = to(d / Kind::kPacked, c);
        PrefetchToWrite(at + kPackAhead);
        Kind::Pack(row + c, next == nullptr ? nullptr : next + c,
                   MaskOf(columns - c), scale, at);
      }
    }
  }

  void PackB(int64_t begin, int64_t end) {
    int64_t above = 0;  // depth that is packed already
    for (size_t i = 0; i < shape_.terms.size(); ++i) {
      const int64_t depth = shape_.terms[i].depth;
      PackRows(depth, args_.inputs[2 + 2 * i].floats() + begin, shape_.columns,
               end - begin, shape_.terms[i].factor, [&](int64_t d, int64_t c) {
                 return InPanels(b_, depth_, end - begin, above + d, c);
               });
      above += DepthOf<Kind>(depth);
    }
  }

  // Elements from one depth of packed a to the next: an odd number of lines. A
  // tile reads a few numbers of each depth, and with a power of two between
  // them they would meet in a few places of the first-level cache.
  static int64_t RowOfPairs(int64_t rows) {
    return (InLanes(rows) / kLanes | 1) * kLanes;
  }

  // a as it lies, or in pairs the rows that this thread needs.
  void TakeA(IndexRange rows, Element* to) {
    const int64_t stride = RowOfPairs(rows.size());
    if constexpr (Kind::kPacked > 1) {
      strips_[num_strips_++] = {to - rows.begin, 1, stride, depth_};
    }
    for (size_t i = 0; i < shape_.terms.size(); ++i) {
      const GradientShape::Term& term = shape_.terms[i];
      const float* a = args_.inputs[1 + 2 * i].floats();
      if constexpr (Kind::kPacked == 1) {
        strips_[num_strips_++] = {a, 1, shape_.rows, term.depth};
        // Tiles read it in an order that no cache foresees.
        for (int64_t d = 0; d < term.depth; ++d) {
          Prefetch(a + d * shape_.rows + rows.begin, rows.size());
        }
      } else {
        PackRows(term.depth, a + rows.begin, shape_.rows, rows.size(), 1,
                 [&](int64_t d, int64_t c) { return to + d * stride + c; });
        to += DepthOf<Kind>(term.depth) * stride;
      }
    }
  }

  const GradientShape& shape_;
  const KernelArgs& args_;
  const int64_t depth_;
  Element* const b_;
  Strip<Element> strips_[kMostStrips];
  int num_strips_ = 0;
  int32_t kept_[kDeepestTile + kLanes];
  int32_t* room_ = nullptr;  // kept_ if zeros are looked for
};

template <typename Kind, typename Rule>
void Update(const GradientShape& shape, const KernelArgs& args,
            const UpdatedMatrix& matrix, const Rule& rule, IndexRange rows,
            void* scratch) {
  const Rule constants = rule;
  GradientFactors<Kind> factors(shape, args, rows,
                                static_cast<typename Kind::Element*>(scratch));
  const int64_t width = GradientFactors<Kind>::Width(shape);
  for (int64_t begin = 0; begin < shape.columns; begin += width) {
    UpdatedMatrix part = matrix;
    part.parameter += begin;
    for (int s = 0; s < Rule::kStates; ++s) part.state[s] += begin;
    const int64_t end = std::min(shape.columns, begin + width);
    AllTiles<Kind>(factors.WithColumns(begin, end), rows,
                   UpdateSinks<Rule>{constants, part, shape.columns,
                                     end - begin, rows.begin});
  }
}

}  // namespace tiles

TAMER_END_TILES

// Bytes of scratch that each thread's TileUpdate needs.
inline int64_t TileScratchBytes(const GradientShape& shape) {
  using tiles::GradientFactors;
  return Aligned(4 * (shape.precision == BF16
                          ? GradientFactors<tiles::Pairs>::Elements(shape)
                          : GradientFactors<tiles::Singles>::Elements(shape)));
}

// Updates rows [rows.begin, rows.end) of `matrix`.
template <typename Rule>
void TileUpdate(const GradientShape& shape, const KernelArgs& args,
                const UpdatedMatrix& matrix, const Rule& rule, IndexRange rows,
                void* scratch) {
  if (rows.size() == 0) return;
  if (shape.precision == BF16) {
    tiles::Update<tiles::Pairs>(shape, args, matrix, rule, rows, scratch);
  } else {
    tiles::Update<tiles::Singles>(shape, args, matrix, rule, rows, scratch);
  }
}

using tiles::HasZeros;

#else  // no tiles

inline bool HasZeros(const GradientShape&, const KernelArgs&) { return false; }

inline int64_t TileScratchBytes(const GradientShape&) { return 0; }
template <typename Rule>
void TileUpdate(const GradientShape&, const KernelArgs&, const UpdatedMatrix&,
                const Rule&, IndexRange, void*) {}

#endif  // TAMER_TILES

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_TILE_UPDATE_H_
