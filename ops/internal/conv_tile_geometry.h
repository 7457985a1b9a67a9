#ifndef TAMER_OPS_INTERNAL_CONV_TILE_GEOMETRY_H_
#define TAMER_OPS_INTERNAL_CONV_TILE_GEOMETRY_H_

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/conv.h"
#include "ops/internal/conv_tile.h"

// What the three tiled products of a convolution share.

#if TAMER_TILES

namespace tamer {
namespace tiles {

// Rows a tile: 5 where that wastes none or sums are few, else 4.
inline int64_t RowsOf(int64_t rows, const Panel& panel) {
  return rows % 5 == 0 || panel.width() <= 32 ? 5 : 4;
}

// The tile functions for a panel, by rows.
struct PanelTiles {
  explicit PanelTiles(const Panel& of) : panel(of) {
    for (int r = 1; r <= kMostConvRows; ++r) {
      tile[r] = FindTile(r, of);
    }
  }
  Panel panel;
  TileFunction tile[kMostConvRows + 1] = {};
};

inline std::vector<PanelTiles> PanelTilesOf(int64_t columns) {
  std::vector<PanelTiles> all;
  for (const Panel& panel : PanelsOf(columns)) all.emplace_back(panel);
  return all;
}

// A sample [raw_h, raw_w, channels] at (top, left) of one [h, w, channels] that
// is zero elsewhere.
struct Padding {
  int64_t raw_h, raw_w, top, left, h, w, channels;
};
inline void Pad(const Padding& p, const float* raw, float* to) {
  std::memset(to, 0, p.h * p.w * p.channels * 4);
  for (int64_t i = 0; i < p.raw_h; ++i) {
    std::memcpy(to + ((p.top + i) * p.w + p.left) * p.channels,
                raw + i * p.raw_w * p.channels, p.raw_w * p.channels * 4);
  }
}

// A convolution of images with channels last as tiles see it: two spatial
// dimensions, the input with its padding.
struct Geometry {
  explicit Geometry(const ConvShape& shape)
      : batch(shape.batch), in(shape.in), out(shape.out) {
    const WindowAxis line;
    const WindowAxis& y = shape.axes.size() > 1 ? shape.axes[0] : line;
    const WindowAxis& x = shape.axes.back();
    raw_h = y.in, raw_w = x.in;
    top = y.before, left = x.before;
    h = y.in + y.before + y.after, w = x.in + x.before + x.after;
    oh = y.out, ow = x.out, kh = y.kernel, kw = x.kernel;
    sh = y.stride, sw = x.stride, dh = y.dilation;
    run = kw * in;
  }
  bool padded() const { return h != raw_h || w != raw_w; }
  int64_t RawSample() const { return raw_h * raw_w * in; }
  int64_t PaddedBytes() const { return padded() ? Aligned(h * w * in * 4) : 0; }
  int64_t YSample() const { return oh * ow * out; }
  int64_t weights() const { return out * kh * run; }

  // Image `b` of x with its padding, in `scratch` unless there is none.
  const float* Image(const float* x, int64_t b, float* scratch) const {
    const float* raw = x + b * RawSample();
    if (!padded()) return raw;
    Pad({raw_h, raw_w, top, left, h, w, in}, raw, scratch);
    return scratch;
  }

  // The place in the weight, [out, in, kh, kw], of filter f's number for depth
  // k = (row of the kernel, place in it, channel).
  int64_t WeightAt(int64_t f, int64_t k) const {
    const int64_t c = k % in, place = k / in;
    return (f * in + c) * kh * kw + place;
  }

  int64_t batch, in, out;
  int64_t raw_h, raw_w, top, left;
  int64_t h, w;  // with padding
  int64_t oh, ow, kh, kw, sh, sw, dh;
  int64_t run;  // numbers in a row of a window
};

// to[i] = from[index[i]], or 0 where the index is negative, spread over the
// team: a weight in another order.
inline void Permute(const std::vector<int32_t>& index, const float* from,
                    float* to) {
  ParallelFor(static_cast<int64_t>(index.size()), 4096,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  to[i] = index[i] < 0 ? 0.0f : from[index[i]];
                }
              });
}

}  // namespace tiles
}  // namespace tamer

#endif  // TAMER_TILES

#endif  // TAMER_OPS_INTERNAL_CONV_TILE_GEOMETRY_H_
