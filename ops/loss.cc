// Losses of element by element. Each finds its gradient in the same sweep, as
// a second output.

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/losses.h"
#include "ops/internal/sums.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/loss.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 13;

// Elementwise losses against targets of the prediction's shape: `Rule` gives
// the loss of one element and its derivative; kPerSample averages over samples
// only, summing their elements.
template <typename Params, typename Rule, bool kPerSample, bool kTargets>
class ElementwiseLoss : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "prediction, target"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    if (inputs[0].shape.rank() < 1) {
      return Invalid("the prediction must have a batch dimension, but is []");
    }
    return Outputs({TensorType(), inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_RETURN_IF_ERROR(EmitLossGradient(g, 0));
    if (!g.Wanted(1)) return absl::OkStatus();
    if (!kTargets) {
      return absl::UnimplementedError(
          absl::StrCat(this->name(), " has no gradient at its target"));
    }
    return EmitLossGradient(g, 1, 1, /*negated=*/true);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t n = spec.inputs[0].shape.elements();
    const double count =
        static_cast<double>(kPerSample ? spec.inputs[0].shape.dim(0) : n);
    return MakeKernel(
        [n, count](const KernelArgs& args) {
          const float* x = args.inputs[0].floats();
          const float* t = args.inputs[1].floats();
          float* gradient = args.outputs[1].floats();
          float* losses = static_cast<float*>(args.scratch);
          const float scale = static_cast<float>(1 / count);
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            Rule::Sweep(x + begin, t + begin, scale, end - begin,
                        losses + begin, gradient + begin);
          });
          void* partial = losses + (n + 15) / 16 * 16;
          args.outputs[0].floats()[0] =
              static_cast<float>(Sum(losses, n, partial) / count);
          return absl::OkStatus();
        },
        (n + 15) / 16 * 16 * static_cast<int64_t>(sizeof(float)) +
            SumScratchBytes(n));
  }
};

struct SquaredRule {
  TAMER_VECTORIZED static void Sweep(const float* x, const float* t,
                                     float scale, int64_t n, float* loss,
                                     float* gradient) {
    for (int64_t i = 0; i < n; ++i) {
      const float d = x[i] - t[i];
      loss[i] = d * d;
      gradient[i] = 2 * scale * d;
    }
  }
};

struct AbsoluteRule {
  TAMER_VECTORIZED static void Sweep(const float* x, const float* t,
                                     float scale, int64_t n, float* loss,
                                     float* gradient) {
    for (int64_t i = 0; i < n; ++i) {
      const float d = x[i] - t[i];
      loss[i] = d < 0 ? -d : d;
      gradient[i] = d > 0 ? scale : (d < 0 ? -scale : 0.0f);
    }
  }
};

// max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows.
struct LogisticRule {
  static void Sweep(const float* x, const float* t, float scale, int64_t n,
                    float* loss, float* gradient) {
    for (int64_t i = 0; i < n; ++i) {
      const float e = Exp(-std::fabs(x[i]));
      loss[i] = std::max(x[i], 0.0f) - x[i] * t[i] + std::log1p(e);
      const float s = x[i] >= 0 ? 1 / (1 + e) : e / (1 + e);
      gradient[i] = scale * (s - t[i]);
    }
  }
};

using SigmoidCrossEntropyOp =
    ElementwiseLoss<op::SigmoidCrossEntropy, LogisticRule, true, false>;
using MeanSquaredErrorOp =
    ElementwiseLoss<op::MeanSquaredError, SquaredRule, false, true>;
using L1Op = ElementwiseLoss<op::L1, AbsoluteRule, false, true>;

}  // namespace

TAMER_OP_FAMILY(loss, SigmoidCrossEntropyOp, MeanSquaredErrorOp, L1Op)

}  // namespace tamer
