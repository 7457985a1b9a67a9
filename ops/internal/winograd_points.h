#ifndef TAMER_OPS_INTERNAL_WINOGRAD_POINTS_H_
#define TAMER_OPS_INTERNAL_WINOGRAD_POINTS_H_

#include <cstdint>

#include "ops/internal/tiles.h"

// The linear maps of winograd.h. A piece of the image is 6 x 6, a piece of the
// result `side` x `side`, 4 or 2. What depends on one direction is done for
// whole rows, so that it is done once where pieces overlap; then what depends
// on the other, for a piece. Numbers are vectors of channels.

#if TAMER_TILES

namespace tamer {
namespace winograd {

constexpr int kPoints = 6;  // each way
constexpr int kAll = kPoints * kPoints;

// Rows `at + k * step` for k in 0 .. 5, or fewer.
struct Rows {
  float* at;
  int64_t step;
};

// Where a piece's 36 points are: number (i, j) at `at + (6 i + j) * step`.
struct Points {
  float* at;
  int64_t step;
};

// Six rows of n numbers of an image, down: to rows `begin` to `end` - 1 of the
// six points.
void ImageRows(const float* image, int64_t step, int64_t n, int begin, int end,
               Rows to);
// A piece of those, across: six pixels `channels` apart, from each row `i`, to
// points (i, 0 .. 5).
void ImagePiece(Rows from, int64_t channels, int begin, int end, Points to);

// The way back, transposed. A piece's points are added, across, to the rows'
// six pixels; six such rows of n numbers are then added, down, to the image's.
void AddPiece(Points from, int64_t channels, Rows to);
void AddRows(Rows from, int64_t n, float* image, int64_t step);

// `side` rows of n numbers of the result's gradient, of which the image has
// only `rows`; n of them beyond what it has are zeros.
void ResultRows(int side, const float* image, int64_t step, int64_t rows,
                int64_t n, int begin, int end, Rows to);
void ResultPiece(int side, Rows from, int64_t channels, int begin, int end,
                 Points to);

// A piece of the result from its points: pixel (y, x) at `to + y * step + x *
// channels`, those within `rows` and `columns`. `bias`, if any, is added, then
// with `relu` what is negative becomes zero.
struct Finish {
  const float* bias = nullptr;
  bool relu = false;
};
void FinishPiece(int side, Points from, int64_t channels, const Finish& finish,
                 int64_t rows, int64_t columns, float* to, int64_t step);

// A weight [out, in, kernel, kernel] as its columns, which vectors hold, and
// its rows: filters and channels, or the other way round.
struct Filters {
  int kernel = 3;
  int64_t columns = 0, column_step = 0;
  int64_t rows = 0, row_step = 0;
  int64_t width = 0;  // of a row of points: columns and what fills vectors
  int64_t floats() const { return kAll * rows * width; }
};
// The weight to points [36, rows, width].
void FilterPoints(const Filters& filters, const float* weight, float* to);
// The way back, transposed: rows [begin, end) from points to the weight's
// gradient.
void FilterGradient(const Filters& filters, const float* from, int64_t begin,
                    int64_t end, float* gradient);

}  // namespace winograd
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_WINOGRAD_POINTS_H_
