#include <algorithm>
#include <vector>

#include "ops/internal/pooling.h"
#include "ops/internal/pooling_vectors.h"
#include "ops/internal/pooling_walk.h"

namespace tamer {
namespace {

using pooling::Box;
using pooling::BoxOf;
using pooling::ForUnits;
using pooling::Inside;
using pooling::RowOf;

// Elements of a row, or channels, that one pass keeps in the first cache.
constexpr int64_t kChunk = 128;

// The number of the tap (z, y, start of x) in a window.
int32_t TapOf(const PoolGeometry& g, const Box& box, int64_t z, int64_t y) {
  return static_cast<int32_t>(((z - g.axes[0].start[box.z]) * g.axes[1].taps +
                               (y - g.axes[1].start[box.y])) *
                              g.axes[2].taps);
}

// Where each value stood, in either type; null if nobody asks.
struct Places {
  void* data = nullptr;
  bool small = false;

  void Store(int64_t at, const int32_t* place, int64_t n) const {
    if (data == nullptr) return;
    if (small) {
      StoreBytes(place, n, static_cast<uint8_t*>(data) + at);
    } else {
      std::copy(place, place + n, static_cast<int32_t*>(data) + at);
    }
  }
  void Load(int64_t at, int64_t n, int32_t* place) const {
    if (small) {
      const uint8_t* from = static_cast<const uint8_t*>(data) + at;
      std::copy(from, from + n, place);
    } else {
      const int32_t* from = static_cast<const int32_t*>(data) + at;
      std::copy(from, from + n, place);
    }
  }
};

// A row of outputs, elements [from, from + n) of it, of a plane with inner 1.
void MaxRow(const PoolGeometry& g, const Box& box, const float* plane,
            int64_t from, int64_t n, float* y, int32_t* place) {
  const PoolAxis& axis = g.axes[2];
  const float* first = plane + RowOf(g, box.z0, box.y0);
  const int32_t tap = TapOf(g, box, box.z0, box.y0);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t x = axis.begin[from + i];
    y[i] = first[x];
    place[i] = tap + static_cast<int32_t>(x - axis.start[from + i]);
  }
  for (int64_t z = box.z0; z < box.z1; ++z) {
    for (int64_t row = box.y0; row < box.y1; ++row) {
      const float* x = plane + RowOf(g, z, row);
      const int32_t base = TapOf(g, box, z, row);
      for (int64_t t = 0; t < axis.taps && axis.stride > 0; ++t) {
        const IndexRange inside = Inside(axis, t);
        const int64_t a = std::max(inside.begin, from);
        const int64_t b = std::min(inside.end, from + n);
        if (a >= b) continue;
        MaxTap(x + axis.start[a] + t, axis.stride, base + t, b - a,
               y + a - from, place + a - from);
      }
      for (int64_t i = 0; i < n && axis.stride == 0; ++i) {
        const int64_t start = axis.start[from + i];
        for (int64_t at = start; at < axis.end[from + i]; ++at) {
          MaxTap(x + at, 1, base + at - start, 1, y + i, place + i);
        }
      }
    }
  }
}

// `n` channels, from `channel` on, of output element x of a row.
void MaxPixel(const PoolGeometry& g, const Box& box, const float* plane,
              int64_t x, int64_t channel, int64_t n, float* y, int32_t* place) {
  const PoolAxis& axis = g.axes[2];
  const int64_t begin = axis.begin[x], end = axis.end[x];
  const float* first =
      plane + (RowOf(g, box.z0, box.y0) + begin) * g.inner + channel;
  std::copy(first, first + n, y);
  std::fill(place, place + n,
            TapOf(g, box, box.z0, box.y0) +
                static_cast<int32_t>(begin - axis.start[x]));
  for (int64_t z = box.z0; z < box.z1; ++z) {
    for (int64_t row = box.y0; row < box.y1; ++row) {
      const float* from = plane + RowOf(g, z, row) * g.inner + channel;
      const int32_t base = TapOf(g, box, z, row);
      for (int64_t at = begin; at < end; ++at) {
        MaxTap(from + at * g.inner, 1,
               base + static_cast<int32_t>(at - axis.start[x]), n, y, place);
      }
    }
  }
}

// The elements of output element x, and where the first is in its plane.
TapBox ElementsOf(const PoolGeometry& g, const Box& box, int64_t x,
                  int64_t* first) {
  const PoolAxis& axis = g.axes[2];
  TapBox elements;
  elements.nz = box.z1 - box.z0;
  elements.ny = box.y1 - box.y0;
  elements.nx = axis.end[x] - axis.begin[x];
  elements.step_x = g.inner;
  elements.step_y = axis.in * g.inner;
  elements.step_z = g.axes[1].in * elements.step_y;
  elements.tap_y = static_cast<int32_t>(axis.taps);
  elements.tap_z = static_cast<int32_t>(g.axes[1].taps * axis.taps);
  elements.tap = TapOf(g, box, box.z0, box.y0) +
                 static_cast<int32_t>(axis.begin[x] - axis.start[x]);
  *first = (RowOf(g, box.z0, box.y0) + axis.begin[x]) * g.inner;
  return elements;
}

// Whether channels are innermost and places bytes, for AVX-512.
bool InVectors(const PoolGeometry& g) {
  return g.inner > 1 && g.small() && HasPoolVectors();
}

// Whether windows are 2 x 2 side by side, in a plain plane.
bool InPairs(const PoolGeometry& g) {
  const auto pairs = [](const PoolAxis& axis) {
    return axis.taps == 2 && axis.stride == 2 && axis.start[0] == 0 &&
           axis.end.back() == axis.start.back() + 2;
  };
  return HasPoolVectors() && g.axes[0].in == 1 && g.axes[0].taps == 1 &&
         pairs(g.axes[1]) && pairs(g.axes[2]);
}

class MaxPool : public Kernel {
 public:
  MaxPool(PoolGeometry geometry, bool indices)
      : g_(std::move(geometry)),
        indices_(indices),
        pairs_(InPairs(g_)),
        vectors_(InVectors(g_)) {}

  absl::Status Run(const KernelArgs& args) override {
    const float* x = args.inputs[0].floats();
    float* y = args.outputs[0].floats();
    Places places{indices_ ? args.outputs[1].data : nullptr, g_.small()};
    const int64_t rows = g_.axes[0].out * g_.axes[1].out;
    const int64_t width = g_.axes[2].out * g_.inner;
    ForUnits(g_.planes * rows, width * g_.taps(), [&](int64_t r, int64_t end) {
      for (; r < end; ++r) {
        const Box box =
            BoxOf(g_, r % rows / g_.axes[1].out, r % g_.axes[1].out);
        const float* plane = x + r / rows * g_.plane_in();
        Row(box, plane, r * width, y, places);
      }
    });
    return absl::OkStatus();
  }

 private:
  void Row(const Box& box, const float* plane, int64_t at, float* y,
           const Places& places) const {
    const int64_t out = g_.axes[2].out;
    if (pairs_) {
      auto* bytes = static_cast<uint8_t*>(places.data);
      if (bytes != nullptr) bytes += at;
      const float* above = plane + RowOf(g_, 0, box.y0) * g_.inner;
      const float* below = above + g_.axes[2].in * g_.inner;
      return g_.inner == 1
                 ? MaxOfPairs(above, below, out, y + at, bytes)
                 : MaxOfQuads(above, below, out, g_.inner, y + at, bytes);
    }
    int32_t place[kChunk];
    if (g_.inner == 1) {
      for (int64_t from = 0; from < out; from += kChunk) {
        const int64_t n = std::min(kChunk, out - from);
        MaxRow(g_, box, plane, from, n, y + at + from, place);
        places.Store(at + from, place, n);
      }
      return;
    }
    if (vectors_) {
      auto* bytes = static_cast<uint8_t*>(places.data);
      for (int64_t i = 0; i < out; ++i, at += g_.inner) {
        int64_t first = 0;
        const TapBox elements = ElementsOf(g_, box, i, &first);
        MaxOfBox(plane + first, elements, g_.inner, y + at,
                 bytes == nullptr ? nullptr : bytes + at);
      }
      return;
    }
    for (int64_t i = 0; i < out; ++i) {
      for (int64_t c = 0; c < g_.inner; c += kChunk) {
        const int64_t n = std::min(kChunk, g_.inner - c);
        MaxPixel(g_, box, plane, i, c, n, y + at + i * g_.inner + c, place);
        places.Store(at + i * g_.inner + c, place, n);
      }
    }
  }

  const PoolGeometry g_;
  const bool indices_, pairs_, vectors_;
};

class MaxPoolGradient : public Kernel {
 public:
  explicit MaxPoolGradient(PoolGeometry geometry)
      : g_(std::move(geometry)), pairs_(InPairs(g_)), vectors_(InVectors(g_)) {
    for (int64_t z = 0; z < g_.axes[0].taps; ++z) {
      for (int64_t y = 0; y < g_.axes[1].taps; ++y) {
        for (int64_t x = 0; x < g_.axes[2].taps; ++x) {
          offset_.push_back((RowOf(g_, z, y) + x) * g_.inner);
        }
      }
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    const float* dy = args.inputs[0].floats();
    const Places places{args.inputs[1].data, g_.small()};
    float* dx = args.outputs[0].floats();
    const int64_t chunks = pairs_ ? 1 : (g_.inner + kChunk - 1) / kChunk;
    const int64_t size = g_.plane_in() / chunks;
    ForUnits(g_.planes * chunks, size, [&](int64_t u, int64_t end) {
      for (; u < end; ++u) {
        const int64_t p = u / chunks, c = u % chunks * kChunk;
        const int64_t at = p * g_.plane_out();
        float* plane = dx + p * g_.plane_in();
        if (pairs_) {
          Pairs(dy + at, static_cast<const uint8_t*>(places.data) + at, plane);
        } else {
          Clear(plane, c);
          vectors_ ? Boxes(dy, places, at, plane, c)
                   : Scatter(dy, places, at, plane, c);
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  int64_t Width(int64_t channel) const {
    return std::min(kChunk, g_.inner - channel);
  }
  void Clear(float* plane, int64_t channel) const {
    const int64_t n = Width(channel);
    if (n == g_.inner) {
      std::fill(plane, plane + g_.plane_in(), 0.0f);
      return;
    }
    for (int64_t i = channel; i < g_.plane_in(); i += g_.inner) {
      std::fill(plane + i, plane + i + n, 0.0f);
    }
  }
  void Scatter(const float* dy, const Places& places, int64_t at, float* plane,
               int64_t channel) const {
    int32_t place[kChunk];
    const int64_t n = Width(channel);
    for (int64_t z = 0; z < g_.axes[0].out; ++z) {
      for (int64_t y = 0; y < g_.axes[1].out; ++y) {
        for (int64_t x = 0; x < g_.axes[2].out; ++x, at += g_.inner) {
          const int64_t from =
              (RowOf(g_, g_.axes[0].start[z], g_.axes[1].start[y]) +
               g_.axes[2].start[x]) *
                  g_.inner +
              channel;
          places.Load(at + channel, n, place);
          for (int64_t i = 0; i < n; ++i) {
            plane[from + offset_[place[i]] + i] += dy[at + channel + i];
          }
        }
      }
    }
  }
  void Boxes(const float* dy, const Places& places, int64_t at, float* plane,
             int64_t channel) const {
    const auto* place = static_cast<const uint8_t*>(places.data);
    at += channel;
    for (int64_t z = 0; z < g_.axes[0].out; ++z) {
      for (int64_t y = 0; y < g_.axes[1].out; ++y) {
        const Box box = BoxOf(g_, z, y);
        for (int64_t x = 0; x < g_.axes[2].out; ++x, at += g_.inner) {
          int64_t first = 0;
          const TapBox elements = ElementsOf(g_, box, x, &first);
          BoxOfMax(dy + at, place + at, elements, Width(channel),
                   plane + first + channel);
        }
      }
    }
  }
  void Pairs(const float* dy, const uint8_t* place, float* plane) const {
    const int64_t in = g_.axes[2].in * g_.inner;
    const int64_t out = g_.axes[2].out * g_.inner;
    for (int64_t y = 0; y < g_.axes[1].out; ++y) {
      float* row = plane + 2 * y * in;
      if (g_.inner == 1) {
        PairsOfMax(dy + y * out, place + y * out, out, row, row + in);
      } else {
        QuadsOfMax(dy + y * out, place + y * out, g_.axes[2].out, g_.inner, row,
                   row + in);
      }
      std::fill(row + 2 * out, row + in, 0.0f);
      std::fill(row + in + 2 * out, row + 2 * in, 0.0f);
    }
    std::fill(plane + 2 * g_.axes[1].out * in, plane + g_.plane_in(), 0.0f);
  }

  const PoolGeometry g_;
  const bool pairs_, vectors_;
  std::vector<int64_t> offset_;  // of each tap
};

}  // namespace

std::unique_ptr<Kernel> MakeMaxPool(PoolGeometry geometry, bool indices) {
  return std::make_unique<MaxPool>(std::move(geometry), indices);
}

std::unique_ptr<Kernel> MakeMaxPoolGradient(PoolGeometry geometry) {
  return std::make_unique<MaxPoolGradient>(std::move(geometry));
}

}  // namespace tamer
