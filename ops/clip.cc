// Gradient clipping by value and by norm.

#include <cmath>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

absl::Status CheckLimit(float limit) {
  return CheckNumber(limit > 0 && std::isfinite(limit), "limit", limit,
                     "above 0");
}

TAMER_VECTORIZED void Limit(const float* x, float limit, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float below = x[i] > limit ? limit : x[i];
    y[i] = below < -limit ? -limit : below;
  }
}

TAMER_VECTORIZED void MultiplyBy(const float* x, float factor, int64_t n,
                                 float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

class ClipByValueOp : public TypedOp<op::ClipByValue> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckLimit(Typed(params).limit()));
    return Outputs({inputs[0]});
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(),
         limit = Typed(*spec.params).limit()](const KernelArgs& args) {
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            Limit(args.inputs[0].floats() + begin, limit, end - begin,
                  args.outputs[0].floats() + begin);
          });
          return absl::OkStatus();
        });
  }
  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

class SumOfSquaresOp : public TypedOp<op::SumOfSquares> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    if (inputs.empty()) return Invalid("takes one input or more, not 0");
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    return Outputs({TensorType()});
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    int64_t scratch = 0;
    for (const TensorType& input : spec.inputs) {
      scratch = std::max(scratch, SumScratchBytes(input.shape.elements()));
    }
    return MakeKernel(
        [](const KernelArgs& args) {
          double sum = 0;
          for (const Tensor& x : args.inputs) {
            sum += SumSquares(x.floats(), x.elements(), args.scratch);
          }
          args.outputs[0].floats()[0] = static_cast<float>(sum);
          return absl::OkStatus();
        },
        scratch);
  }
};

class ClipByNormOp : public TypedOp<op::ClipByNorm> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, sum of squares"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckLimit(Typed(params).limit()));
    if (inputs[1].shape.rank() != 0) {
      return Invalid("the sum of squares must be a scalar, but is ",
                     inputs[1].shape.ToString());
    }
    return Outputs({inputs[0]});
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(),
         limit = Typed(*spec.params).limit()](const KernelArgs& args) {
          const float norm = std::sqrt(args.inputs[1].floats()[0]);
          const float factor = norm > limit ? limit / norm : 1.0f;
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            MultiplyBy(args.inputs[0].floats() + begin, factor, end - begin,
                       args.outputs[0].floats() + begin);
          });
          return absl::OkStatus();
        });
  }
  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(clip, ClipByValueOp, SumOfSquaresOp, ClipByNormOp)

}  // namespace tamer
