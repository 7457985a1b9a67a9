#include "ops/internal/pooling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/base/parallel.h"
#include "ops/internal/family.h"
#include "ops/internal/pooling_vectors.h"

namespace tamer {
namespace {

// Elements of a row, or channels, that one pass keeps in the first cache.
constexpr int64_t kChunk = 128;
constexpr int64_t kGrain = 1 << 14;

// Runs body(begin, end) over `n` units of `work` elements each.
template <typename Body>
void ForUnits(int64_t n, int64_t work, const Body& body) {
  // ParallelFor cuts at multiples of 16.
  ParallelFor(n * 16, kGrain * 16 / std::max<int64_t>(1, work) + 1,
              [&](int64_t begin, int64_t end) { body(begin / 16, end / 16); });
}

// The windows' range of one output element along z and y.
struct Box {
  int64_t z, y;  // of the output
  int64_t z0, z1, y0, y1;
};

Box BoxOf(const PoolGeometry& g, int64_t z, int64_t y) {
  return {z,
          y,
          g.axes[0].begin[z],
          g.axes[0].end[z],
          g.axes[1].begin[y],
          g.axes[1].end[y]};
}

// The number of the tap (z, y, start of x) in a window.
int32_t TapOf(const PoolGeometry& g, const Box& box, int64_t z, int64_t y) {
  return static_cast<int32_t>(((z - g.axes[0].start[box.z]) * g.axes[1].taps +
                               (y - g.axes[1].start[box.y])) *
                              g.axes[2].taps);
}

int64_t RowOf(const PoolGeometry& g, int64_t z, int64_t y) {
  return (z * g.axes[1].in + y) * g.axes[2].in;
}

// The outputs [first, last) of a row for which tap t is inside; the axis has a
// stride.
IndexRange Inside(const PoolAxis& axis, int64_t t) {
  const int64_t at = axis.start[0] + t;  // of output 0
  IndexRange range;
  range.begin = at >= 0 ? 0 : (-at + axis.stride - 1) / axis.stride;
  range.end = at >= axis.in
                  ? 0
                  : std::min(axis.out, (axis.in - 1 - at) / axis.stride + 1);
  return range;
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

// Whether windows are 2 x 2 side by side, in a plain plane.
bool InPairs(const PoolGeometry& g) {
  const auto pairs = [](const PoolAxis& axis) {
    return axis.taps == 2 && axis.stride == 2 && axis.start[0] == 0 &&
           axis.end.back() == axis.start.back() + 2;
  };
  return g.inner == 1 && g.axes[0].in == 1 && g.axes[0].taps == 1 &&
         pairs(g.axes[1]) && pairs(g.axes[2]);
}

class MaxPool : public Kernel {
 public:
  MaxPool(PoolGeometry geometry, bool indices)
      : g_(std::move(geometry)),
        indices_(indices),
        pairs_(InPairs(g_) && g_.small() && HasPoolVectors()) {}

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
      const float* above = plane + RowOf(g_, 0, box.y0);
      return MaxOfPairs(above, above + g_.axes[2].in, out, y + at,
                        bytes == nullptr ? nullptr : bytes + at);
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
    for (int64_t i = 0; i < out; ++i) {
      for (int64_t c = 0; c < g_.inner; c += kChunk) {
        const int64_t n = std::min(kChunk, g_.inner - c);
        MaxPixel(g_, box, plane, i, c, n, y + at + i * g_.inner + c, place);
        places.Store(at + i * g_.inner + c, place, n);
      }
    }
  }

  const PoolGeometry g_;
  const bool indices_, pairs_;
};

class MaxPoolGradient : public Kernel {
 public:
  explicit MaxPoolGradient(PoolGeometry geometry)
      : g_(std::move(geometry)),
        pairs_(InPairs(g_) && g_.small() && HasPoolVectors()) {
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
    const int64_t chunks = (g_.inner + kChunk - 1) / kChunk;
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
          Scatter(dy, places, at, plane, c);
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
  void Pairs(const float* dy, const uint8_t* place, float* plane) const {
    const int64_t in = g_.axes[2].in, out = g_.axes[2].out;
    for (int64_t y = 0; y < g_.axes[1].out; ++y) {
      float* row = plane + 2 * y * in;
      PairsOfMax(dy + y * out, place + y * out, out, row, row + in);
      std::fill(row + 2 * out, row + in, 0.0f);
      std::fill(row + in + 2 * out, row + 2 * in, 0.0f);
    }
    std::fill(plane + 2 * g_.axes[1].out * in, plane + g_.plane_in(), 0.0f);
  }

  const PoolGeometry g_;
  const bool pairs_;
  std::vector<int64_t> offset_;  // of each tap
};

// The factor that a window's sum is multiplied by, but for x's part.
float FactorOf(const PoolGeometry& g, const Box& box) {
  return g.axes[0].factor[box.z] * g.axes[1].factor[box.y];
}

class AveragePool : public Kernel {
 public:
  explicit AveragePool(PoolGeometry geometry) : g_(std::move(geometry)) {}

  absl::Status Run(const KernelArgs& args) override {
    const float* x = args.inputs[0].floats();
    float* y = args.outputs[0].floats();
    const int64_t rows = g_.axes[0].out * g_.axes[1].out;
    const int64_t width = g_.axes[2].out * g_.inner;
    ForUnits(g_.planes * rows, width * g_.taps(), [&](int64_t r, int64_t end) {
      for (; r < end; ++r) {
        const Box box =
            BoxOf(g_, r % rows / g_.axes[1].out, r % g_.axes[1].out);
        const float* plane = x + r / rows * g_.plane_in();
        float* row = y + r * width;
        std::fill(row, row + width, 0.0f);
        AddRows(box, plane, row);
        for (int64_t i = 0; i < g_.axes[2].out; ++i) {
          const float factor = FactorOf(g_, box) * g_.axes[2].factor[i];
          MultiplyBy(factor, g_.inner, row + i * g_.inner);
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  void AddRows(const Box& box, const float* plane, float* row) const {
    const PoolAxis& axis = g_.axes[2];
    for (int64_t z = box.z0; z < box.z1; ++z) {
      for (int64_t y = box.y0; y < box.y1; ++y) {
        const float* x = plane + RowOf(g_, z, y) * g_.inner;
        if (g_.inner == 1 && axis.stride > 0) {
          for (int64_t t = 0; t < axis.taps; ++t) {
            const IndexRange inside = Inside(axis, t);
            if (inside.size() <= 0) continue;
            AddTap(x + axis.start[inside.begin] + t, axis.stride, inside.size(),
                   row + inside.begin);
          }
          continue;
        }
        for (int64_t i = 0; i < axis.out; ++i) {
          if (g_.inner == 1) {
            row[i] += SumOf(x + axis.begin[i], axis.end[i] - axis.begin[i]);
            continue;
          }
          for (int64_t at = axis.begin[i]; at < axis.end[i]; ++at) {
            AddTap(x + at * g_.inner, 1, g_.inner, row + i * g_.inner);
          }
        }
      }
    }
  }

  const PoolGeometry g_;
};

class AveragePoolGradient : public Kernel {
 public:
  explicit AveragePoolGradient(PoolGeometry geometry)
      : g_(std::move(geometry)) {}

  absl::Status Run(const KernelArgs& args) override {
    const float* dy = args.inputs[0].floats();
    float* dx = args.outputs[0].floats();
    ForUnits(g_.planes, g_.plane_in(), [&](int64_t p, int64_t end) {
      for (; p < end; ++p) {
        float* plane = dx + p * g_.plane_in();
        std::fill(plane, plane + g_.plane_in(), 0.0f);
        const float* at = dy + p * g_.plane_out();
        for (int64_t z = 0; z < g_.axes[0].out; ++z) {
          for (int64_t y = 0; y < g_.axes[1].out; ++y) {
            Spread(BoxOf(g_, z, y), at, plane);
            at += g_.axes[2].out * g_.inner;
          }
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  // Gives each element of a row of windows its share of their gradients.
  void Spread(const Box& box, const float* dy, float* plane) const {
    const PoolAxis& axis = g_.axes[2];
    for (int64_t i = 0; i < axis.out; ++i) {
      const float factor = FactorOf(g_, box) * axis.factor[i];
      const int64_t n = axis.end[i] - axis.begin[i];
      for (int64_t z = box.z0; z < box.z1; ++z) {
        for (int64_t y = box.y0; y < box.y1; ++y) {
          float* to = plane + (RowOf(g_, z, y) + axis.begin[i]) * g_.inner;
          SpreadOver(dy + i * g_.inner, factor, g_.inner, n, to);
        }
      }
    }
  }

  const PoolGeometry g_;
};

}  // namespace

int64_t PoolGeometry::plane_in() const {
  return axes[0].in * axes[1].in * axes[2].in * inner;
}

int64_t PoolGeometry::plane_out() const {
  return axes[0].out * axes[1].out * axes[2].out * inner;
}

PoolAxis Sliding(const WindowAxis& window, bool count_include_pad) {
  PoolAxis axis;
  axis.in = window.in;
  axis.out = window.out;
  axis.taps = window.kernel;
  axis.stride = window.stride;
  axis.start.clear(), axis.begin.clear(), axis.end.clear(), axis.factor.clear();
  for (int64_t o = 0; o < window.out; ++o) {
    const int64_t start = o * window.stride - window.before;
    const int64_t end = start + window.kernel;
    axis.start.push_back(start);
    axis.begin.push_back(std::max<int64_t>(0, start));
    axis.end.push_back(std::min(window.in, end));
    const int64_t count = count_include_pad
                              ? std::min(end, window.in + window.after) - start
                              : axis.end.back() - axis.begin.back();
    axis.factor.push_back(1.0f / static_cast<float>(count));
  }
  return axis;
}

PoolAxis Adaptive(int64_t in, int64_t out) {
  PoolAxis axis;
  axis.in = in;
  axis.out = out;
  axis.start.clear(), axis.begin.clear(), axis.end.clear(), axis.factor.clear();
  for (int64_t o = 0; o < out; ++o) {
    axis.begin.push_back(o * in / out);
    axis.end.push_back(((o + 1) * in + out - 1) / out);
    const int64_t count = axis.end.back() - axis.begin.back();
    axis.taps = std::max(axis.taps, count);
    axis.factor.push_back(1.0f / static_cast<float>(count));
  }
  axis.start = axis.begin;
  return axis;
}

PoolGeometry MakeGeometry(const ImageDims& image, bool channels_last,
                          const std::vector<PoolAxis>& axes) {
  PoolGeometry geometry;
  geometry.planes = channels_last ? image.batch : image.batch * image.channels;
  geometry.inner = channels_last ? image.channels : 1;
  std::copy(axes.rbegin(), axes.rend(), geometry.axes.rbegin());
  return geometry;
}

std::unique_ptr<Kernel> MakeMaxPool(PoolGeometry geometry, bool indices) {
  return std::make_unique<MaxPool>(std::move(geometry), indices);
}

std::unique_ptr<Kernel> MakeAveragePool(PoolGeometry geometry) {
  return std::make_unique<AveragePool>(std::move(geometry));
}

std::unique_ptr<Kernel> MakeMaxPoolGradient(PoolGeometry geometry) {
  return std::make_unique<MaxPoolGradient>(std::move(geometry));
}

std::unique_ptr<Kernel> MakeAveragePoolGradient(PoolGeometry geometry) {
  return std::make_unique<AveragePoolGradient>(std::move(geometry));
}

}  // namespace tamer
