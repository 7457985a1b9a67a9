// Dropout and Sample: random streams by counter, so that a step gives the same
// numbers on every run and after every resume.

#include "core/base/random.h"

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

// `y` holds uniform numbers and gets the samples.
TAMER_VECTORIZED void Bernoulli(const float* p, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] < p[i] ? 1.0f : 0.0f;
}

TAMER_VECTORIZED void AddScaled(const float* x, float scale, int64_t n,
                                float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] + scale * y[i];
}

// `y` holds normal numbers and gets the samples.
TAMER_VECTORIZED void Rectified(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float sample = x[i] + y[i] * std::sqrt(1 / (1 + Exp(-x[i])));
    y[i] = sample > 0 ? sample : 0.0f;
  }
}

// `mask` holds uniform numbers and gets 0 or `keep`.
TAMER_VECTORIZED void DropElements(const float* x, float rate, float keep,
                                   int64_t n, float* mask, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    mask[i] = mask[i] < rate ? 0.0f : keep;
    y[i] = x[i] * mask[i];
  }
}

class DropoutOp : public TypedOp<op::Dropout> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float rate = Typed(params).rate();
    TAMER_RETURN_IF_ERROR(
        CheckNumber(rate >= 0 && rate < 1, "rate", rate, "in [0, 1)"));
    return Outputs({inputs[0], inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::Mul(), {g.OutputGradient(0), g.Output(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const float rate = Typed(*spec.params).rate();
    return MakeKernel([n = spec.outputs[0].shape.elements(), rate,
                       key = spec.stream_key](const KernelArgs& args) {
      float* mask = args.outputs[1].floats();
      FillUniform(key, args.step, n, mask);
      ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
        DropElements(args.inputs[0].floats() + begin, rate, 1 / (1 - rate),
                     end - begin, mask + begin,
                     args.outputs[0].floats() + begin);
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }
  bool IdentityAtInference() const override { return true; }
};

class SampleOp : public TypedOp<op::Sample> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float stddev = Typed(params).stddev();
    TAMER_RETURN_IF_ERROR(CheckNumber(stddev >= 0 && std::isfinite(stddev),
                                      "stddev", stddev, "at least 0"));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Sample& sample = Typed(*spec.params);
    return MakeKernel([n = spec.outputs[0].shape.elements(),
                       distribution = sample.distribution(),
                       stddev = sample.stddev(),
                       key = spec.stream_key](const KernelArgs& args) {
      float* y = args.outputs[0].floats();
      const bool bernoulli = distribution == op::Sample::BERNOULLI;
      (bernoulli ? FillUniform : FillGaussian)(key, args.step, n, y);
      ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
        const float* x = args.inputs[0].floats() + begin;
        if (bernoulli) {
          Bernoulli(x, end - begin, y + begin);
        } else if (distribution == op::Sample::RECTIFIED) {
          Rectified(x, end - begin, y + begin);
        } else {
          AddScaled(x, stddev, end - begin, y + begin);
        }
      });
      return absl::OkStatus();
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(random, DropoutOp, SampleOp)

}  // namespace tamer
