#ifndef TAMER_OPS_INTERNAL_CONV_TILE_H_
#define TAMER_OPS_INTERNAL_CONV_TILE_H_

#include <cstdint>
#include <vector>

#include "ops/internal/tiles.h"

// One tile of a product of matrices: up to 5 rows and 64 columns whose sums
// stay in registers. Unlike those of tiles.h it takes factors as they lie, and
// a rest of up to 8 columns costs half a vector.

#if TAMER_TILES

namespace tamer {
namespace tiles {

constexpr int kMostConvRows = 5;

// Columns [column, column + columns) of a matrix, up to 64, in vectors.
struct Panel {
  int64_t column = 0, columns = 0;
  int vectors = 0;    // of 16
  bool half = false;  // and one of 8
  uint16_t mask = 0;  // of the last vector
  int64_t width() const { return vectors * kLanes + (half ? 8 : 0); }
};
inline std::vector<Panel> PanelsOf(int64_t columns) {
  std::vector<Panel> panels;
  for (int64_t at = 0; at < columns; at += kPanel) {
    Panel panel;
    panel.column = at;
    panel.columns = std::min<int64_t>(kPanel, columns - at);
    const int64_t rest = panel.columns % kLanes;
    panel.half = rest > 0 && rest <= 8;
    panel.vectors =
        static_cast<int>(panel.columns / kLanes + (rest > 8 ? 1 : 0));
    panel.mask = static_cast<uint16_t>(rest > 0 ? (1 << rest) - 1 : 0xffff);
    panels.push_back(panel);
  }
  return panels;
}

// sum[r][c] = start[c] + sum over strips s and depths d of
//   a[s * a_strip + r * a_row + d * a_depth] * b[s * b_strip + d * b_depth + c]
struct TileFactors {
  const float* a = nullptr;
  int64_t a_strip = 0, a_row = 0, a_depth = 0;
  const float* b = nullptr;
  int64_t b_strip = 0, b_depth = 0;
  int64_t strips = 1, depth = 0;
  const float* start = nullptr;  // null: zeros; as wide as the tile's vectors
};

// to[r * row + c] gets the sums, or has them added; negative ones become
// zeros with `relu`.
struct TileResult {
  float* to = nullptr;
  int64_t row = 0;
  bool add = false, relu = false;
  uint16_t mask = 0xffff;  // as the panel's
};

using TileFunction = void (*)(const TileFactors&, const TileResult&);

// The function for tiles of `rows`, 1 to kMostConvRows, and the panel's width.
TileFunction FindTile(int rows, const Panel& panel);

}  // namespace tiles
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_CONV_TILE_H_
