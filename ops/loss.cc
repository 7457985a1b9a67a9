// Losses and accuracy. Each loss finds its gradient in the same sweep, as a
// second output.

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/loss.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 13;

// The gradient at the prediction, from the one that flows into the loss.
absl::Status EmitLossGradient(GradientBuilder& g, int input, bool negated) {
  std::string value = g.Output(1);
  if (!g.OutputGradientIsOne(0)) {
    TAMER_ASSIGN_OR_RETURN(
        value, g.Emit(negated ? "scaled_target" : "scaled", op::Mul(),
                      {value, g.OutputGradient(0)}));
  }
  if (negated) {
    op::Scale negate;
    negate.set_factor(-1);
    TAMER_ASSIGN_OR_RETURN(value, g.Emit("target", negate, {value}));
  }
  g.SetGradient(input, value);
  return absl::OkStatus();
}

absl::Status CheckLabels(Types inputs) {
  TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "logits, labels"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
  const Shape& logits = inputs[0].shape;
  const Shape& labels = inputs[1].shape;
  if (logits.rank() != 2 || logits.dim(1) < 2) {
    return Invalid("logits must be [B, classes] with at least 2 classes, but ",
                   "are ", logits.ToString());
  }
  if (inputs[1].dtype != DType::kInt32 || labels.rank() != 1 ||
      labels.dim(0) != logits.dim(0)) {
    return Invalid("labels must be INT32 ", Shape({logits.dim(0)}).ToString(),
                   ", but are ", inputs[1].ToString());
  }
  return absl::OkStatus();
}

absl::Status OutOfRange(const int32_t* labels, int64_t rows, int64_t classes) {
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] < 0 || labels[r] >= classes) {
      return Invalid("label ", labels[r], " is out of range for ", classes,
                     " classes");
    }
  }
  return absl::OkStatus();
}

struct SmoothedTarget {
  float on, off;  // probability of the label, and of each other class
};

// One row: its loss, and scale * (softmax(x) - target) to `gradient`.
TAMER_VECTORIZED float SoftmaxRow(const float* x, int64_t n, int32_t label,
                                  SmoothedTarget target, float scale,
                                  float* gradient) {
  float most = x[0];
  for (int64_t i = 1; i < n; ++i) most = x[i] > most ? x[i] : most;
  for (int64_t i = 0; i < n; ++i) gradient[i] = Exp(x[i] - most);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += gradient[i];
  const float log_sum = std::log(sum) + most;
  float loss = (target.on - target.off) * (log_sum - x[label]);
  if (target.off > 0) {
    for (int64_t i = 0; i < n; ++i) loss += target.off * (log_sum - x[i]);
  }
  const float factor = scale / sum, shift = scale * target.off;
  for (int64_t i = 0; i < n; ++i) gradient[i] = gradient[i] * factor - shift;
  gradient[label] -= scale * (target.on - target.off);
  return loss;
}

class SoftmaxCrossEntropyOp : public TypedOp<op::SoftmaxCrossEntropy> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckLabels(inputs));
    const float smoothing = Typed(params).label_smoothing();
    TAMER_RETURN_IF_ERROR(CheckNumber(smoothing >= 0 && smoothing < 1,
                                      "label_smoothing", smoothing,
                                      "in [0, 1)"));
    return Outputs({TensorType(), inputs[0]});
  }

  bool TakesLabels() const override { return true; }

  absl::Status Gradient(GradientBuilder& g) const override {
    return EmitLossGradient(g, 0, false);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.dim(0);
    const int64_t classes = spec.inputs[0].shape.dim(1);
    const float smoothing = Typed(*spec.params).label_smoothing();
    const float off = smoothing / static_cast<float>(classes);
    const SmoothedTarget target{1 - smoothing + off, off};
    return MakeKernel(
        [rows, classes, target](const KernelArgs& args) {
          const int32_t* labels = args.inputs[1].ints();
          TAMER_RETURN_IF_ERROR(OutOfRange(labels, rows, classes));
          float* losses = static_cast<float*>(args.scratch);
          const float scale = 1.0f / static_cast<float>(rows);
          ParallelFor(
              rows, kGrain / classes + 1, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r) {
                  losses[r] = SoftmaxRow(
                      args.inputs[0].floats() + r * classes, classes, labels[r],
                      target, scale, args.outputs[1].floats() + r * classes);
                }
              });
          double sum = 0;
          for (int64_t r = 0; r < rows; ++r) sum += losses[r];
          args.outputs[0].floats()[0] = static_cast<float>(sum / rows);
          return absl::OkStatus();
        },
        rows * static_cast<int64_t>(sizeof(float)));
  }
};

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
    TAMER_RETURN_IF_ERROR(EmitLossGradient(g, 0, false));
    if (!g.Wanted(1)) return absl::OkStatus();
    if (!kTargets) {
      return absl::UnimplementedError(
          absl::StrCat(this->name(), " has no gradient at its target"));
    }
    return EmitLossGradient(g, 1, true);
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

class AccuracyOp : public TypedOp<op::Accuracy> {
 public:
  bool TakesLabels() const override { return true; }

  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckLabels(inputs));
    const int k = Typed(params).top_k();
    TAMER_RETURN_IF_ERROR(CheckNumber(k >= 1 && k <= inputs[0].shape.dim(1),
                                      "top_k", k,
                                      "1 to the number of classes"));
    return Outputs({TensorType()});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.dim(0);
    const int64_t classes = spec.inputs[0].shape.dim(1);
    return MakeKernel([rows, classes, k = Typed(*spec.params).top_k()](
                          const KernelArgs& args) {
      const int32_t* labels = args.inputs[1].ints();
      TAMER_RETURN_IF_ERROR(OutOfRange(labels, rows, classes));
      int64_t right = 0;
      for (int64_t r = 0; r < rows; ++r) {
        const float* x = args.inputs[0].floats() + r * classes;
        const float own = x[labels[r]];
        int64_t before = 0;  // classes that would be named first
        for (int64_t c = 0; c < classes; ++c) {
          before += x[c] > own || (x[c] == own && c < labels[r]);
        }
        right += before < k;
      }
      args.outputs[0].floats()[0] =
          static_cast<float>(right) / static_cast<float>(rows);
      return absl::OkStatus();
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(loss, SoftmaxCrossEntropyOp, SigmoidCrossEntropyOp,
                MeanSquaredErrorOp, L1Op, AccuracyOp)

}  // namespace tamer
