#ifndef TAMER_OPS_INTERNAL_WINOGRAD_GEOMETRY_H_
#define TAMER_OPS_INTERNAL_WINOGRAD_GEOMETRY_H_

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/conv_tile_geometry.h"
#include "ops/internal/winograd_points.h"

// What the three products of winograd.h share.

#if TAMER_TILES

namespace tamer {
namespace winograd {

// A thread's own memory within the scratch.
struct Room {
  float* image;  // a padded sample
  Rows rows;     // of a line, for six points
  float* x;      // points of the image's pieces in a block
  float* y;      // and of the result's
  float* filters;
};

// Floats for the points of a block; they stay in the second cache.
constexpr int64_t kBlock = 128 * 1024;
// Floats of a room, or a multiple. Thread t's begins at t times that in all
// kernels, so that it finds there what it wrote itself: to get lines that
// another core wrote last can cost more than the products do.
constexpr int64_t kRoom = 320 * 1024;

// The result is cut in pieces of `side` x `side`, the image in overlapping ones
// of 6 x 6. A line is a row of pieces of one sample; several lines make a
// block.
struct Geometry {
  explicit Geometry(const ConvShape& shape)
      : batch(shape.batch), in(shape.in), out(shape.out) {
    const WindowAxis& y = shape.axes[0];
    const WindowAxis& x = shape.axes[1];
    kernel = static_cast<int>(y.kernel);
    side = kPoints + 1 - kernel;
    oh = y.out, ow = x.out, raw_h = y.in, raw_w = x.in;
    top = y.before, left = x.before;
    lines = (oh + side - 1) / side, across = (ow + side - 1) / side;
    h = lines * side + kernel - 1, w = across * side + kernel - 1;
    block = std::clamp<int64_t>((kBlock - ImageFloats() - RowsFloats()) /
                                    (LineFloats(in) + LineFloats(out)),
                                1, batch * lines);
  }

  int64_t pieces() const { return block * across; }
  bool padded() const { return h != raw_h || w != raw_w; }
  int64_t ImageFloats() const { return padded() ? Up(h * w * in) : 0; }
  // A line's rows, of the image or the result, for six points.
  int64_t Row() const { return Up(std::max(w * in, across * side * out)); }
  int64_t RowsFloats() const { return kPoints * Row(); }
  // All points of a line.
  int64_t LineFloats(int64_t channels) const {
    return kAll * across * tiles::InLanes(channels);
  }
  // A room's size with so many numbers for filters at the points.
  int64_t RoomFloats(int64_t filters = 0) const {
    const int64_t all = ImageFloats() + RowsFloats() +
                        block * (LineFloats(in) + LineFloats(out)) + filters;
    return (all + kRoom - 1) / kRoom * kRoom;
  }
  Room RoomOf(void* scratch, int thread, int64_t filters = 0) const {
    Room room;
    room.image = static_cast<float*>(scratch) + thread * RoomFloats(filters);
    room.rows = {room.image + ImageFloats(), Row()};
    room.x = room.rows.at + RowsFloats();
    room.y = room.x + block * LineFloats(in);
    room.filters = room.y + block * LineFloats(out);
    return room;
  }
  static int64_t Up(int64_t n) { return Aligned(n * 4) / 4; }

  // Sample `b` of x as pieces see it, in `scratch` unless it lies so.
  const float* Image(const float* x, int64_t b, float* scratch) const {
    const float* raw = x + b * raw_h * raw_w * in;
    if (!padded()) return raw;
    tiles::Pad({raw_h, raw_w, top, left, h, w, in}, raw, scratch);
    return scratch;
  }
  // The way back: what lies in the sample of the padded image.
  void FromImage(const float* image, float* raw) const {
    for (int64_t i = 0; i < raw_h; ++i) {
      std::memcpy(raw + i * raw_w * in, image + ((top + i) * w + left) * in,
                  raw_w * in * 4);
    }
  }

  // The weight with filters as columns, or channels.
  Filters WithColumns(bool filters) const {
    const int64_t numbers = int64_t{1} * kernel * kernel;
    Filters f;
    f.kernel = kernel;
    f.columns = filters ? out : in;
    f.column_step = filters ? in * numbers : numbers;
    f.rows = filters ? in : out;
    f.row_step = filters ? numbers : in * numbers;
    f.width = tiles::InLanes(f.columns);
    return f;
  }

  // A line of the image, and of the result's gradient `dy`, which is one
  // sample's: its pieces' points (i, 0 .. 5) for i in [begin, end), to number
  // `l` of a block of `pieces`.
  void ImageLine(const float* image, int64_t line, int begin, int end,
                 const Room& room, int64_t l, int64_t pieces) const {
    ImageRows(image + line * side * w * in, w * in, w * in, begin, end,
              room.rows);
    for (int64_t i = 0; i < across; ++i) {
      ImagePiece({room.rows.at + i * side * in, room.rows.step}, in, begin, end,
                 {room.x + (l * across + i) * in, pieces * in});
    }
  }
  void ResultLine(const float* dy, int64_t line, int begin, int end,
                  const Room& room, int64_t l, int64_t pieces) const {
    const int64_t y = line * side;
    if (across * side > ow) {
      std::memset(room.rows.at, 0, RowsFloats() * sizeof(float));
    }
    ResultRows(side, dy + y * ow * out, ow * out, oh - y, ow * out, begin, end,
               room.rows);
    for (int64_t i = 0; i < across; ++i) {
      ResultPiece(side, {room.rows.at + i * side * out, room.rows.step}, out,
                  begin, end, {room.y + (l * across + i) * out, pieces * out});
    }
  }

  int64_t batch, in, out;
  int kernel, side;
  int64_t oh, ow, raw_h, raw_w, top, left;
  int64_t lines, across;  // of a sample; pieces in a line
  int64_t h, w;           // of the padded image
  int64_t block;          // lines
};

// to[r, c] (+)= sum over d of a[r * a_row + d * a_depth] * b[d * b_depth + c].
struct Product {
  const float* a;
  int64_t a_row, a_depth, rows, depth;
  const float* b;
  int64_t b_depth;
  float* to;
  int64_t to_row;
  bool add;
};
inline void Multiply(const std::vector<tiles::PanelTiles>& panels,
                     const Product& p) {
  tiles::TileFactors factors;
  factors.a_row = p.a_row;
  factors.a_depth = p.a_depth;
  factors.b_depth = p.b_depth;
  factors.depth = p.depth;
  tiles::TileResult result;
  result.row = p.to_row;
  result.add = p.add;
  for (const tiles::PanelTiles& tiles : panels) {
    const int64_t most = tiles::RowsOf(p.rows, tiles.panel);
    factors.b = p.b + tiles.panel.column;
    result.mask = tiles.panel.mask;
    for (int64_t r = 0; r < p.rows;) {
      const int64_t n = std::min(most, p.rows - r);
      factors.a = p.a + r * p.a_row;
      result.to = p.to + r * p.to_row + tiles.panel.column;
      tiles.tile[n](factors, result);
      r += n;
    }
  }
}

}  // namespace winograd
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_WINOGRAD_GEOMETRY_H_
