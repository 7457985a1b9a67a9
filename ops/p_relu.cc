// PRelu: a rectifier whose slope below zero is trained.

#include <algorithm>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/smooth_activation.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 13;

// A tensor as [samples, channels, inner]; of a shared slope with one channel.
struct Layout {
  int64_t samples = 1, channels = 1, inner = 1;

  Layout(const Shape& x, int64_t slopes) {
    samples = x.rank() > 0 ? x.dim(0) : 1;
    channels = slopes;
    inner = x.elements() / std::max<int64_t>(1, samples * slopes);
  }
};

TAMER_VECTORIZED void Rectify(const float* x, float slope, int64_t n,
                              float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] > 0 ? x[i] : slope * x[i];
}
TAMER_VECTORIZED void RectifyEach(const float* x, const float* slope, int64_t n,
                                  float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] > 0 ? x[i] : slope[i] * x[i];
}

// dx, and returns the sum of dy * x where x is below zero.
TAMER_VECTORIZED float Unrectify(const float* dy, const float* x, float slope,
                                 int64_t n, float* dx) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const float below = x[i] > 0 ? 0.0f : dy[i];
    sum += below * x[i];
    dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
  }
  return sum;
}
TAMER_VECTORIZED void UnrectifyEach(const float* dy, const float* x,
                                    const float* slope, int64_t n, float* dx,
                                    float* sums) {
  for (int64_t i = 0; i < n; ++i) {
    const float below = x[i] > 0 ? 0.0f : dy[i];
    sums[i] += below * x[i];
    dx[i] = x[i] > 0 ? dy[i] : slope[i] * dy[i];
  }
}

class PReluOp : public TypedOp<op::PRelu> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape& shape = inputs[0].shape;
    const bool shared = Typed(params).shared();
    if (!shared && (shape.rank() < 2 || shape.dim(1) < 1)) {
      return Invalid("x must be [B, channels, ...], but is ", shape.ToString(),
                     "; or set shared");
    }
    VariableSpec slope;
    slope.name = "slope";
    slope.type.shape = Shape({shared ? 1 : shape.dim(1)});
    slope.initializer = Typed(params).slope_init();
    if (!Typed(params).has_slope_init()) {
      slope.initializer.mutable_constant()->set_value(0.25f);
    }
    slope.decay = false;
    Inference result = Outputs({inputs[0]});
    result.variables.push_back(slope);
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::PReluGradient(),
               {g.OutputGradient(0), g.Input(0), g.Input(1)}));
    g.SetGradient(0, dx);
    g.SetGradient(1, absl::StrCat(dx, ":1"));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Layout at(spec.inputs[0].shape, spec.inputs[1].shape.dim(0));
    return MakeKernel([at](const KernelArgs& args) {
      const float* x = args.inputs[0].floats();
      const float* slope = args.inputs[1].floats();
      float* y = args.outputs[0].floats();
      const int64_t rows =
          at.inner == 1 ? at.samples : at.samples * at.channels;
      const int64_t n = at.inner == 1 ? at.channels : at.inner;
      ParallelFor(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          if (at.inner == 1) {
            RectifyEach(x + r * n, slope, n, y + r * n);
          } else {
            Rectify(x + r * n, slope[r % at.channels], n, y + r * n);
          }
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

class PReluGradientOp : public TypedOp<op::PReluGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "dy, x, slope"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
    const Shape& x = inputs[0].shape;
    const Shape& slope = inputs[2].shape;
    const bool fits =
        slope.rank() == 1 &&
        (slope.dim(0) == 1 || (x.rank() > 1 && slope.dim(0) == x.dim(1)));
    if (!fits) {
      return Invalid("slope must be [1] or one for each channel of ",
                     x.ToString(), ", but is ", slope.ToString());
    }
    return Outputs({inputs[0], inputs[2]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Layout at(spec.inputs[0].shape, spec.inputs[2].shape.dim(0));
    if (at.inner == 1) return MakeColumns(at);
    return MakePlanes(at);
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }

 private:
  // A channel is a column: each thread goes down its own.
  static std::unique_ptr<Kernel> MakeColumns(Layout at) {
    return MakeKernel([at](const KernelArgs& args) {
      const int64_t n = at.channels;
      float* sums = args.outputs[1].floats();
      ParallelFor(n, kGrain / at.samples + 16, [&](int64_t c, int64_t end) {
        std::fill(sums + c, sums + end, 0.0f);
        for (int64_t r = 0; r < at.samples; ++r) {
          const int64_t i = r * n + c;
          UnrectifyEach(args.inputs[0].floats() + i,
                        args.inputs[1].floats() + i,
                        args.inputs[2].floats() + c, end - c,
                        args.outputs[0].floats() + i, sums + c);
        }
      });
      return absl::OkStatus();
    });
  }

  // A channel is a plane of each sample: one sum each, then these in order.
  static std::unique_ptr<Kernel> MakePlanes(Layout at) {
    const int64_t planes = at.samples * at.channels;
    return MakeKernel(
        [at, planes](const KernelArgs& args) {
          float* sums = static_cast<float*>(args.scratch);
          const int64_t n = at.inner;
          ParallelFor(planes, kGrain / n + 1, [&](int64_t p, int64_t end) {
            for (; p < end; ++p) {
              sums[p] = Unrectify(args.inputs[0].floats() + p * n,
                                  args.inputs[1].floats() + p * n,
                                  args.inputs[2].floats()[p % at.channels], n,
                                  args.outputs[0].floats() + p * n);
            }
          });
          for (int64_t c = 0; c < at.channels; ++c) {
            double sum = 0;
            for (int64_t p = c; p < planes; p += at.channels) sum += sums[p];
            args.outputs[1].floats()[c] = static_cast<float>(sum);
          }
          return absl::OkStatus();
        },
        planes * static_cast<int64_t>(sizeof(float)));
  }
};

}  // namespace

TAMER_OP_FAMILY(p_relu, PReluOp, PReluGradientOp)

}  // namespace tamer
