// Softmax cross-entropy of samples (with labels, or shares of all classes) and
// of sequences, and the metrics and targets that go with it. The loss and its
// gradient are found in one sweep over each row of logits.

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/losses.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/sequence_loss.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 13;
constexpr int64_t kFloat = sizeof(float);

// Rows of logits and how their losses are weighed.
struct Rows {
  int64_t rows = 0, classes = 0;
  bool padded = false;
  SmoothedTarget target;
  std::vector<float> weights;  // of the classes; all 1 if empty

  float Weight(int32_t label) const {
    if (label < 0) return 0;
    return weights.empty() ? 1.0f : weights[label];
  }
  // Sum of the weights; the mean is over it.
  double Total(const int32_t* labels) const {
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) total += Weight(labels[r]);
    return total;
  }
};

absl::Status CrossEntropy(const Rows& shape, const KernelArgs& args) {
  const float* x = args.inputs[0].floats();
  const int32_t* labels = args.inputs[1].ints();
  TAMER_RETURN_IF_ERROR(
      CheckLabelRange(labels, shape.rows, shape.classes, shape.padded));
  float* losses = static_cast<float*>(args.scratch);
  float* gradients = args.outputs[1].floats();
  const double total = shape.Total(labels);
  const double share = total > 0 ? 1 / total : 0;
  const int64_t n = shape.classes;
  ParallelFor(shape.rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float weight = shape.Weight(labels[r]);
      float* gradient = gradients + r * n;
      losses[r] = 0;
      if (weight == 0) {
        std::memset(gradient, 0, n * kFloat);
        continue;
      }
      const float scale = static_cast<float>(weight * share);
      losses[r] = weight * SoftmaxLossRow(x + r * n, n, labels[r], shape.target,
                                          scale, gradient);
    }
  });
  double sum = 0;
  for (int64_t r = 0; r < shape.rows; ++r) sum += losses[r];
  args.outputs[0].floats()[0] = static_cast<float>(sum * share);
  return absl::OkStatus();
}

// Of targets [rows, classes]: as if each row stood there once for each class,
// labelled with it and weighed by its target.
absl::Status SoftCrossEntropy(const Rows& shape, const KernelArgs& args) {
  const float* x = args.inputs[0].floats();
  const float* targets = args.inputs[1].floats();
  float* losses = static_cast<float*>(args.scratch);
  float* totals = losses + shape.rows;
  float* smoothed = totals + shape.rows;
  const int64_t n = shape.classes;
  double total = 0;
  for (int64_t r = 0; r < shape.rows; ++r) {
    float sum = 0;
    for (int64_t c = 0; c < n; ++c) {
      sum += targets[r * n + c] * shape.Weight(static_cast<int32_t>(c));
    }
    totals[r] = sum;
    total += sum;
  }
  const double share = total > 0 ? 1 / total : 0;
  const float on = shape.target.on - shape.target.off;
  ParallelFor(shape.rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* target = smoothed + r * n;
      for (int64_t c = 0; c < n; ++c) {
        target[c] =
            on * targets[r * n + c] * shape.Weight(static_cast<int32_t>(c)) +
            shape.target.off * totals[r];
      }
      losses[r] = SoftmaxLossRow(x + r * n, n, target, totals[r],
                                 static_cast<float>(share),
                                 args.outputs[1].floats() + r * n);
    }
  });
  double sum = 0;
  for (int64_t r = 0; r < shape.rows; ++r) sum += losses[r];
  args.outputs[0].floats()[0] = static_cast<float>(sum * share);
  return absl::OkStatus();
}

// Whether a target for each class is given instead of labels.
bool IsSoft(Types inputs) {
  return inputs.size() == 2 && inputs[1].dtype == DType::kFloat &&
         inputs[1].shape.rank() == 2 && inputs[1] == inputs[0];
}

absl::Status CheckTargets(Types inputs, bool sequences) {
  if (sequences || !IsSoft(inputs)) return CheckLabels(inputs, sequences);
  const TensorType labels{DType::kInt32, Shape({inputs[0].shape.dim(0)})};
  const std::vector<TensorType> labelled = {inputs[0], labels};
  return CheckLabels(labelled, sequences);
}

template <typename Params, bool kSequences>
class CrossEntropyOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckTargets(inputs, kSequences));
    const Params& loss = this->Typed(params);
    const float smoothing = loss.label_smoothing();
    TAMER_RETURN_IF_ERROR(CheckNumber(smoothing >= 0 && smoothing < 1,
                                      "label_smoothing", smoothing,
                                      "in [0, 1)"));
    const int64_t classes = inputs[0].shape.back();
    const int weights = loss.class_weight_size();
    if (weights != 0 && weights != classes) {
      return Invalid("class_weight has ", weights, " numbers for ", classes,
                     " classes; give one for each, or none");
    }
    for (float weight : loss.class_weight()) {
      TAMER_RETURN_IF_ERROR(CheckNumber(std::isfinite(weight) && weight >= 0,
                                        "class_weight", weight, "at least 0"));
    }
    return Outputs({TensorType(), inputs[0]});
  }

  bool TakesLabels() const override { return true; }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (g.Wanted(1)) {
      return absl::UnimplementedError(
          absl::StrCat(this->name(), " has no gradient at its target"));
    }
    return EmitLossGradient(g, 0);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Params& loss = this->Typed(*spec.params);
    Rows rows;
    rows.rows = spec.inputs[0].shape.rows();
    rows.classes = spec.inputs[0].shape.back();
    rows.padded = kSequences;
    rows.target = SmoothedTarget::Of(loss.label_smoothing(), rows.classes);
    rows.weights.assign(loss.class_weight().begin(), loss.class_weight().end());
    if (!kSequences && IsSoft(spec.inputs)) {
      return MakeKernel(
          [rows](const KernelArgs& args) {
            return SoftCrossEntropy(rows, args);
          },
          rows.rows * (rows.classes + 2) * kFloat);
    }
    return MakeKernel(
        [rows](const KernelArgs& args) { return CrossEntropy(rows, args); },
        rows.rows * kFloat);
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 1 ? 0 : -1;
  }
};

using SoftmaxCrossEntropyOp = CrossEntropyOp<op::SoftmaxCrossEntropy, false>;
using SequenceCrossEntropyOp = CrossEntropyOp<op::SequenceCrossEntropy, true>;

// The mean of a number of each labelled row, found by `value(x, n, label)`.
template <typename RowValue>
std::unique_ptr<Kernel> MakeRowMean(const KernelSpec& spec, RowValue value) {
  const int64_t rows = spec.inputs[0].shape.rows();
  const int64_t n = spec.inputs[0].shape.back();
  const bool padded = spec.inputs[0].shape.rank() > 2;
  return MakeKernel(
      [rows, n, padded, value](const KernelArgs& args) {
        const int32_t* labels = args.inputs[1].ints();
        TAMER_RETURN_IF_ERROR(CheckLabelRange(labels, rows, n, padded));
        float* values = static_cast<float*>(args.scratch);
        ParallelFor(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            if (labels[r] < 0) continue;
            values[r] = value(args.inputs[0].floats() + r * n, n, labels[r]);
          }
        });
        double sum = 0;
        int64_t count = 0;
        for (int64_t r = 0; r < rows; ++r) {
          if (labels[r] < 0) continue;
          sum += values[r];
          ++count;
        }
        args.outputs[0].floats()[0] =
            count == 0 ? 0.0f : static_cast<float>(sum / count);
        return absl::OkStatus();
      },
      rows * kFloat);
}

class AccuracyOp : public TypedOp<op::Accuracy> {
 public:
  bool TakesLabels() const override { return true; }

  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckLabels(inputs, /*sequences=*/true));
    const int k = Typed(params).top_k();
    TAMER_RETURN_IF_ERROR(CheckNumber(k >= 1 && k <= inputs[0].shape.back(),
                                      "top_k", k,
                                      "1 to the number of classes"));
    return Outputs({TensorType()});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeRowMean(spec, [k = Typed(*spec.params).top_k()](
                                 const float* x, int64_t n, int32_t label) {
      return RankOf(x, n, label) < k ? 1.0f : 0.0f;
    });
  }
};

class BitsPerTokenOp : public TypedOp<op::BitsPerToken> {
 public:
  bool TakesLabels() const override { return true; }

  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckLabels(inputs, /*sequences=*/true));
    return Outputs({TensorType()});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeRowMean(spec, [](const float* x, int64_t n, int32_t label) {
      constexpr float kBitsPerNat = 1.44269504f;
      return (LogSumExp(x, n) - x[label]) * kBitsPerNat;
    });
  }
};

class ShiftTokensOp : public TypedOp<op::ShiftTokens> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "tokens"));
    if (inputs[0].dtype != DType::kInt32 || inputs[0].shape.rank() != 2 ||
        inputs[0].shape.dim(1) < 1) {
      return Invalid("tokens must be INT32 [B, T], but are ",
                     inputs[0].ToString());
    }
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.dim(0);
    const int64_t length = spec.inputs[0].shape.dim(1);
    return MakeKernel([rows, length](const KernelArgs& args) {
      const int32_t* tokens = args.inputs[0].ints();
      int32_t* next = args.outputs[0].ints();
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = r * length;
        std::memmove(next + at, tokens + at + 1,
                     (length - 1) * sizeof(int32_t));
        next[at + length - 1] = -1;
      }
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(cross_entropy, SoftmaxCrossEntropyOp, SequenceCrossEntropyOp,
                AccuracyOp, BitsPerTokenOp, ShiftTokensOp)

}  // namespace tamer
