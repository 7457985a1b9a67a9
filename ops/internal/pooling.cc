#include "ops/internal/pooling.h"

#include <algorithm>

#include "ops/internal/pooling_vectors.h"
#include "ops/internal/pooling_walk.h"

namespace tamer {
namespace {

using pooling::Box;
using pooling::BoxOf;
using pooling::ForUnits;
using pooling::Inside;
using pooling::RowOf;

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

std::unique_ptr<Kernel> MakeAveragePool(PoolGeometry geometry) {
  return std::make_unique<AveragePool>(std::move(geometry));
}

std::unique_ptr<Kernel> MakeAveragePoolGradient(PoolGeometry geometry) {
  return std::make_unique<AveragePoolGradient>(std::move(geometry));
}

}  // namespace tamer
