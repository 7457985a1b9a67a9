// Upsample: spatial dimensions grow by whole factors.
//
// Each element of the result is a weighted sum of two elements along each
// dimension (NEAREST: of one, the other's weight being zero).

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "ops/internal/window.h"
#include "proto/ops/upsample.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 13;

// One dimension: element o of the larger is weight * x[low[o]] + (1 - weight) *
// x[high[o]].
struct Axis {
  int64_t in = 1, out = 1;
  std::vector<int64_t> low = {0}, high = {0};
  std::vector<float> weight = {1};
};

struct Geometry {
  int64_t planes = 1, inner = 1;
  std::array<Axis, 3> axes;  // z, y, x; what is missing has size 1
  bool nearest = true;

  int64_t plane_in() const {
    return axes[0].in * axes[1].in * axes[2].in * inner;
  }
  int64_t plane_out() const {
    return axes[0].out * axes[1].out * axes[2].out * inner;
  }
};

Axis MakeAxis(int64_t in, int64_t scale, bool nearest) {
  Axis axis;
  axis.in = in;
  axis.out = in * scale;
  axis.low.clear(), axis.high.clear(), axis.weight.clear();
  for (int64_t o = 0; o < axis.out; ++o) {
    if (nearest) {
      axis.low.push_back(o / scale);
      axis.high.push_back(o / scale);
      axis.weight.push_back(1);
      continue;
    }
    const double at = std::max(0.0, (o + 0.5) / scale - 0.5);
    const auto low = static_cast<int64_t>(at);
    axis.low.push_back(low);
    axis.high.push_back(std::min(low + 1, in - 1));
    axis.weight.push_back(static_cast<float>(1 - (at - low)));
  }
  return axis;
}

absl::StatusOr<std::vector<int64_t>> ScalesOf(const op::Upsample& params,
                                              int rank) {
  std::vector<int64_t> given = ToVector(params.scale());
  if (given.empty()) given = {2};
  return PerDimension("scale", given, rank, 1);
}

absl::StatusOr<Geometry> GeometryOf(const op::Upsample& params,
                                    const Shape& x) {
  TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                         ImageOf(x, params.channels_last()));
  TAMER_ASSIGN_OR_RETURN(const auto scales, ScalesOf(params, image.rank()));
  Geometry g;
  g.nearest = params.mode() == op::Upsample::NEAREST;
  g.planes = image.batch * (params.channels_last() ? 1 : image.channels);
  g.inner = params.channels_last() ? image.channels : 1;
  for (int i = 0; i < image.rank(); ++i) {
    g.axes[3 - image.rank() + i] =
        MakeAxis(image.spatial[i], scales[i], g.nearest);
  }
  return g;
}

// Calls body(row of x, weight) for the up to four rows of the smaller plane
// that row (z, y) of the larger is made of.
template <typename Body>
void ForEachRow(const Geometry& g, int64_t z, int64_t y, const Body& body) {
  const Axis &az = g.axes[0], &ay = g.axes[1];
  for (int k = 0; k < 4; ++k) {
    const float wz = k / 2 == 0 ? az.weight[z] : 1 - az.weight[z];
    const float wy = k % 2 == 0 ? ay.weight[y] : 1 - ay.weight[y];
    if (wz * wy == 0) continue;
    const int64_t row = (k / 2 == 0 ? az.low[z] : az.high[z]) * ay.in +
                        (k % 2 == 0 ? ay.low[y] : ay.high[y]);
    body(row * g.axes[2].in * g.inner, wz * wy);
  }
}

// Calls body(element of the larger row, element of the smaller, weight).
template <typename Body>
void ForEachInRow(const Geometry& g, const Body& body) {
  const Axis& axis = g.axes[2];
  for (int64_t o = 0; o < axis.out; ++o) {
    const float weight = axis.weight[o];
    body(o * g.inner, axis.low[o] * g.inner, weight);
    if (weight < 1) body(o * g.inner, axis.high[o] * g.inner, 1 - weight);
  }
}

void Enlarge(const Geometry& g, const float* x, float* y) {
  std::fill(y, y + g.plane_out(), 0.0f);
  const int64_t width = g.axes[2].out * g.inner;
  for (int64_t r = 0; r < g.axes[0].out * g.axes[1].out; ++r) {
    float* to = y + r * width;
    ForEachRow(g, r / g.axes[1].out, r % g.axes[1].out,
               [&](int64_t row, float row_weight) {
                 ForEachInRow(g, [&](int64_t o, int64_t i, float weight) {
                   AddScaledRow(x + row + i, row_weight * weight, g.inner,
                                to + o);
                 });
               });
  }
}

void Reduce(const Geometry& g, const float* dy, float* dx) {
  std::fill(dx, dx + g.plane_in(), 0.0f);
  const int64_t width = g.axes[2].out * g.inner;
  for (int64_t r = 0; r < g.axes[0].out * g.axes[1].out; ++r) {
    const float* from = dy + r * width;
    ForEachRow(g, r / g.axes[1].out, r % g.axes[1].out,
               [&](int64_t row, float row_weight) {
                 ForEachInRow(g, [&](int64_t o, int64_t i, float weight) {
                   AddScaledRow(from + o, row_weight * weight, g.inner,
                                dx + row + i);
                 });
               });
  }
}

// Runs `one` (Enlarge or Reduce) on each plane of input 0.
template <typename One>
std::unique_ptr<Kernel> MakePlanes(Geometry g, int64_t in, int64_t out,
                                   One one) {
  return MakeKernel([g = std::move(g), in, out, one](const KernelArgs& args) {
    const float* x = args.inputs[0].floats();
    float* y = args.outputs[0].floats();
    // ParallelFor cuts at multiples of 16.
    ParallelFor(g.planes * 16, kGrain * 16 / g.plane_out() + 1,
                [&](int64_t begin, int64_t end) {
                  for (int64_t p = begin / 16; p < end / 16; ++p) {
                    one(g, x + p * in, y + p * out);
                  }
                });
    return absl::OkStatus();
  });
}

class UpsampleOp : public TypedOp<op::Upsample> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Upsample& upsample = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(ImageDims image,
                           ImageOf(inputs[0].shape, upsample.channels_last()));
    TAMER_ASSIGN_OR_RETURN(const auto scales, ScalesOf(upsample, image.rank()));
    for (int i = 0; i < image.rank(); ++i) image.spatial[i] *= scales[i];
    TAMER_ASSIGN_OR_RETURN(const Shape y,
                           ShapeOf(image, upsample.channels_last()));
    return Outputs({{DType::kFloat, y}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::UpsampleGradient gradient;
    *gradient.mutable_of() = Typed(g.params());
    gradient.set_channels_last(Typed(g.params()).channels_last());
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", gradient, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(
        Geometry g, GeometryOf(Typed(*spec.params), spec.inputs[0].shape));
    const int64_t in = g.plane_in(), out = g.plane_out();
    return MakePlanes(std::move(g), in, out, Enlarge);
  }
};

class UpsampleGradientOp : public TypedOp<op::UpsampleGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const bool last = Typed(params).channels_last();
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "dy"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(ImageDims image, ImageOf(inputs[0].shape, last));
    TAMER_ASSIGN_OR_RETURN(const auto scales,
                           ScalesOf(Typed(params).of(), image.rank()));
    for (int i = 0; i < image.rank(); ++i) {
      if (image.spatial[i] % scales[i] != 0) {
        return Invalid("dy's spatial dimensions must be multiples of scale ",
                       scales[i], ", but it is ", inputs[0].shape.ToString());
      }
      image.spatial[i] /= scales[i];
    }
    TAMER_ASSIGN_OR_RETURN(const Shape dx, ShapeOf(image, last));
    return Outputs({{DType::kFloat, dx}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    op::Upsample of = Typed(*spec.params).of();
    of.set_channels_last(Typed(*spec.params).channels_last());
    TAMER_ASSIGN_OR_RETURN(Geometry g, GeometryOf(of, spec.outputs[0].shape));
    const int64_t in = g.plane_in(), out = g.plane_out();
    return MakePlanes(std::move(g), out, in, Reduce);
  }
};

}  // namespace

TAMER_OP_FAMILY(upsample, UpsampleOp, UpsampleGradientOp)

}  // namespace tamer
