#ifndef TAMER_OPS_INTERNAL_ATTENTION_BLOCKS_H_
#define TAMER_OPS_INTERNAL_ATTENTION_BLOCKS_H_

#include "ops/internal/attention.h"
#include "ops/internal/lanes.h"

// The pieces of attention: rows gathered from the inputs, products in tiles of
// 6 rows. For attention.cc and attention_gradient.cc only; all is inlined into
// their TAMER_VECTORIZED functions.

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"

namespace tamer {
namespace attention {

constexpr int64_t kStrip = 6;    // rows of a tile
constexpr int64_t kVectors = 4;  // vectors of a tile's row
constexpr int64_t kPanel = kVectors * kLaneCount;
constexpr int64_t kQueryBlock = 8 * kStrip;
constexpr int64_t kKeyBlock = 3 * kPanel;
// Of a row of scores: behind a row's last key there is a vector of zeros, since
// products read whole strips.
constexpr int64_t kScoreStride = kKeyBlock + 2 * kLaneCount;

inline int64_t UpToStrips(int64_t n) {
  return (n + kStrip - 1) / kStrip * kStrip;
}
inline int64_t UpToPanels(int64_t n) {
  return (n + kPanel - 1) / kPanel * kPanel;
}

// How many keys a query sees, were there no other limit than these.
TAMER_INLINE int64_t KeysSeen(const AttentionShape& shape, int64_t length,
                              int64_t query) {
  const int64_t own = shape.keys - shape.queries + query + 1;
  const int64_t seen = shape.causal ? std::min(length, own) : length;
  return std::max<int64_t>(0, seen);
}

// The left factor of a product: element (row, depth).
struct Left {
  const float* data;
  int64_t row_step, depth_step;
};

// The right one: `vectors` vectors of columns in panels of four, rows
// `row_step` apart.
struct Right {
  const float* data;
  int64_t row_step, panel_step;
};

template <int kC, bool kAdd>
TAMER_INLINE void Tile(const Left& left, int64_t depth, const float* right,
                       int64_t row_step, float* to, int64_t stride) {
  Lanes sum[kStrip][kC];
#pragma GCC unroll 6
  for (int r = 0; r < kStrip; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) {
      sum[r][c] = kAdd ? LoadLanes(to + r * stride + c * kLaneCount) : Lanes{};
    }
  }
  const float* a = left.data;
  for (int64_t d = 0; d < depth; ++d) {
    Lanes b[kC];
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) b[c] = LoadLanes(right + c * kLaneCount);
#pragma GCC unroll 6
    for (int r = 0; r < kStrip; ++r) {
      const float x = a[r * left.row_step];
#pragma GCC unroll 4
      for (int c = 0; c < kC; ++c) sum[r][c] += x * b[c];
    }
    a += left.depth_step;
    right += row_step;
  }
#pragma GCC unroll 6
  for (int r = 0; r < kStrip; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kC; ++c) {
      StoreLanes(sum[r][c], to + r * stride + c * kLaneCount);
    }
  }
}

// A strip of `columns` columns, rounded up to whole vectors.
template <bool kAdd>
TAMER_INLINE void Multiply(const Left& left, int64_t depth, const Right& right,
                           int64_t columns, float* to, int64_t stride) {
  const float* b = right.data;
  for (; columns > kPanel - kLaneCount; columns -= kPanel) {
    Tile<kVectors, kAdd>(left, depth, b, right.row_step, to, stride);
    b += right.panel_step;
    to += kPanel;
  }
  if (columns > 2 * kLaneCount) {
    Tile<3, kAdd>(left, depth, b, right.row_step, to, stride);
  } else if (columns > kLaneCount) {
    Tile<2, kAdd>(left, depth, b, right.row_step, to, stride);
  } else if (columns > 0) {
    Tile<1, kAdd>(left, depth, b, right.row_step, to, stride);
  }
}

// A row times `scale`, turned by its position's angles, or with `back` by their
// opposites. `to` may not be `from`.
TAMER_INLINE void TakeRow(const float* __restrict from, int64_t width,
                          float scale, const RotaryTable& rotary,
                          int64_t position, bool back, float* __restrict to) {
  if (rotary.empty()) {
    for (int64_t i = 0; i < width; ++i) to[i] = scale * from[i];
    return;
  }
  const int64_t half = width / 2;
  const float* __restrict cosine = rotary.Cosines(position);
  const float* __restrict sine = rotary.Sines(position);
  const float sign = back ? -scale : scale;
  for (int64_t i = 0; i < half; ++i) {
    const float x = from[i], y = from[half + i];
    to[i] = scale * x * cosine[i] - sign * y * sine[i];
    to[half + i] = scale * y * cosine[i] + sign * x * sine[i];
  }
}

// Rows of a head, as they lie in an input, one behind the other in whole
// vectors; zeros up to `padded` rows.
struct Rows {
  const float* data;
  int64_t stride, count, first;  // `first` is row 0's position
};
TAMER_INLINE void Gather(const Rows& rows, int64_t width, float scale,
                         const RotaryTable& rotary, int64_t padded, float* to) {
  const int64_t stride = UpToLanes(width);
  for (int64_t r = 0; r < rows.count; ++r) {
    float* row = to + r * stride;
    TakeRow(rows.data + r * rows.stride, width, scale, rotary, rows.first + r,
            /*back=*/false, row);
    for (int64_t i = width; i < stride; ++i) row[i] = 0;
  }
  std::memset(to + rows.count * stride, 0,
              (padded - rows.count) * stride * sizeof(float));
}

// Gathered rows, a multiple of a panel's, as columns of panels: panel p holds
// columns 64 p on, each panel [width in whole vectors, 64].
TAMER_INLINE void Transposed(const float* from, int64_t rows, int64_t width,
                             float* to) {
  const int64_t stride = UpToLanes(width);
  for (int64_t r = 0; r < rows; r += kLaneCount) {
    float* panel = to + r / kPanel * kPanel * stride + r % kPanel;
    for (int64_t c = 0; c < stride; c += kLaneCount) {
      Lanes block[kLaneCount];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kLaneCount; ++i) {
        block[i] = LoadLanes(from + (r + i) * stride + c);
      }
      TransposeLanes(block);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kLaneCount; ++i) {
        StoreLanes(block[i], panel + (c + i) * kPanel);
      }
    }
  }
}

// Key block `first` of transposed panels.
TAMER_INLINE Right PanelsFrom(const float* panels, int64_t first,
                              int64_t width) {
  const int64_t stride = UpToLanes(width);
  return {panels + first * stride, kPanel, kPanel * stride};
}
// Gathered rows from `first` on, as depth.
TAMER_INLINE Right RowsFrom(const float* rows, int64_t first, int64_t width) {
  const int64_t stride = UpToLanes(width);
  return {rows + first * stride, stride, kPanel};
}

// Scratch memory, handed out in pieces.
class Pieces {
 public:
  explicit Pieces(float* memory) : begin_(memory), next_(memory) {}
  float* Take(int64_t floats) {
    float* piece = next_;
    next_ += UpToLanes(floats);
    return piece;
  }
  int64_t taken() const { return next_ - begin_; }

 private:
  float *begin_, *next_;
};

}  // namespace attention
}  // namespace tamer

#pragma GCC diagnostic pop

#endif  // TAMER_OPS_INTERNAL_ATTENTION_BLOCKS_H_
