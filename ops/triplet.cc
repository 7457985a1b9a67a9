// Losses of triplets of vectors.

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/losses.h"
#include "ops/internal/matmul.h"
#include "ops/internal/scratch.h"
#include "ops/internal/vectors.h"
#include "proto/ops/triplet.pb.h"

namespace tamer {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kGrain = 1 << 13;

class TripletMarginOp : public TypedOp<op::TripletMargin> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(
        CheckCount(inputs, 3, "anchors, positives, negatives"));
    TAMER_RETURN_IF_ERROR(CheckVectors(inputs));
    TAMER_RETURN_IF_ERROR(CheckAboveZero("margin", Typed(params).margin()));
    return Outputs({TensorType(), inputs[0], inputs[0], inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    for (int i = 0; i < 3; ++i) {
      if (g.Wanted(i)) TAMER_RETURN_IF_ERROR(EmitLossGradient(g, i, i + 1));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.dim(0);
    const int64_t width = spec.inputs[0].shape.dim(1);
    return MakeKernel(
        [rows, width,
         margin = Typed(*spec.params).margin()](const KernelArgs& args) {
          float* losses = static_cast<float*>(args.scratch);
          ParallelFor(
              rows, kGrain / width + 1, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r) {
                  losses[r] = Row(args, r * width, width, margin, 1.0f / rows);
                }
              });
          double sum = 0;
          for (int64_t r = 0; r < rows; ++r) sum += losses[r];
          args.outputs[0].floats()[0] = static_cast<float>(sum / rows);
          return absl::OkStatus();
        },
        rows * kFloat);
  }

 private:
  // One triplet, its vectors beginning at `at`.
  static float Row(const KernelArgs& args, int64_t at, int64_t n, float margin,
                   float scale) {
    const float* a = args.inputs[0].floats() + at;
    const float* p = args.inputs[1].floats() + at;
    const float* q = args.inputs[2].floats() + at;
    float* da = args.outputs[1].floats() + at;
    float* dp = args.outputs[2].floats() + at;
    float* dq = args.outputs[3].floats() + at;
    constexpr float kEpsilon = 1e-6f;
    for (int64_t i = 0; i < n; ++i) {
      dp[i] = a[i] - p[i] + kEpsilon;
      dq[i] = a[i] - q[i] + kEpsilon;
    }
    const float near = std::sqrt(Dot(dp, dp, n));
    const float far = std::sqrt(Dot(dq, dq, n));
    const float loss = near - far + margin;
    const bool counts = loss > 0;
    const float f = counts && near > 0 ? scale / near : 0;
    const float h = counts && far > 0 ? scale / far : 0;
    Combine(f, dp, -h, dq, n, da);
    Combine(-f, dp, 0, dp, n, dp);
    Combine(h, dq, 0, dq, n, dq);
    return counts ? loss : 0;
  }
};

// The products of all pairs give all distances; each anchor's hardest pair is
// looked for in its row.
class BatchHardKernel : public Kernel {
 public:
  // May throw dnnl::error.
  BatchHardKernel(int64_t n, int64_t width, float margin)
      : n_(n),
        width_(width),
        margin_(margin),
        products_({n, width, width, false}, {n, width, width, true},
                  {n, n, n, false}, ProductSettings()) {
    s_ = scratch_.Reserve(n * n * kFloat);
    picked_ = scratch_.Reserve(2 * n * static_cast<int64_t>(sizeof(int32_t)));
    product_ = scratch_.Reserve(products_.scratch_bytes());
  }

  absl::Status Run(const KernelArgs& args) override {
    const float* x = args.inputs[0].floats();
    float* s = Scratch::At<float>(args.scratch, s_);
    auto* picked = Scratch::At<int32_t>(args.scratch, picked_);
    TAMER_RETURN_IF_ERROR(products_.Run(
        x, x, nullptr, s, Scratch::At<void>(args.scratch, product_)));
    ParallelFor(n_, kGrain / n_ + 1, [&](int64_t begin, int64_t end) {
      for (int64_t a = begin; a < end; ++a) {
        Pick(s, a, args.inputs[1].ints(), picked + 2 * a);
      }
    });
    Sum(x, picked, args);
    return absl::OkStatus();
  }
  int64_t scratch_bytes() const override { return scratch_.bytes(); }

 private:
  // The farthest of a's own label and the nearest of another, or -1. |a - b|^2
  // less |a|^2, which all have, decides.
  void Pick(const float* s, int64_t a, const int32_t* labels,
            int32_t* pair) const {
    pair[0] = pair[1] = -1;
    float farthest = 0, nearest = 0;
    for (int64_t b = 0; b < n_; ++b) {
      if (b == a) continue;
      const float distance = s[b * n_ + b] - 2 * s[a * n_ + b];
      if (labels[b] == labels[a]) {
        if (pair[0] >= 0 && distance <= farthest) continue;
        pair[0] = static_cast<int32_t>(b);
        farthest = distance;
      } else {
        if (pair[1] >= 0 && distance >= nearest) continue;
        pair[1] = static_cast<int32_t>(b);
        nearest = distance;
      }
    }
  }

  float Distance(const float* a, const float* b) const {
    float sum = 0;
    for (int64_t i = 0; i < width_; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return std::sqrt(sum);
  }

  // gradient[a] += factor * (a - b) / |a - b|, and as much away at b.
  void Pull(const float* x, int64_t a, int64_t b, float distance, float factor,
            float* gradient) const {
    if (distance <= 0) return;
    const float scale = factor / distance;
    for (int64_t i = 0; i < width_; ++i) {
      const float d = scale * (x[a * width_ + i] - x[b * width_ + i]);
      gradient[a * width_ + i] += d;
      gradient[b * width_ + i] -= d;
    }
  }

  void Sum(const float* x, const int32_t* picked,
           const KernelArgs& args) const {
    int64_t anchors = 0;
    for (int64_t a = 0; a < n_; ++a) {
      anchors += picked[2 * a] >= 0 && picked[2 * a + 1] >= 0;
    }
    const float share = anchors > 0 ? 1 / static_cast<float>(anchors) : 0;
    float* gradient = args.outputs[1].floats();
    std::memset(gradient, 0, n_ * width_ * kFloat);
    double sum = 0;
    for (int64_t a = 0; a < n_; ++a) {
      const int64_t p = picked[2 * a], q = picked[2 * a + 1];
      if (p < 0 || q < 0) continue;
      const float near = Distance(x + a * width_, x + p * width_);
      const float far = Distance(x + a * width_, x + q * width_);
      const float loss = near - far + margin_;
      if (loss <= 0) continue;
      sum += loss;
      Pull(x, a, p, near, share, gradient);
      Pull(x, a, q, far, -share, gradient);
    }
    args.outputs[0].floats()[0] = static_cast<float>(sum * share);
  }

  const int64_t n_, width_;
  const float margin_;
  Product products_;
  Scratch scratch_;
  int64_t s_, picked_, product_;
};

class BatchHardTripletOp : public TypedOp<op::BatchHardTriplet> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "embeddings, labels"));
    TAMER_RETURN_IF_ERROR(CheckVectors(inputs.subspan(0, 1)));
    const TensorType labels = {DType::kInt32, Shape({inputs[0].shape.dim(0)})};
    if (inputs[1] != labels) {
      return Invalid("labels must be ", labels.ToString(), ", but are ",
                     inputs[1].ToString());
    }
    TAMER_RETURN_IF_ERROR(CheckAboveZero("margin", Typed(params).margin()));
    return Outputs({TensorType(), inputs[0]});
  }

  bool TakesLabels() const override { return true; }

  absl::Status Gradient(GradientBuilder& g) const override {
    return EmitLossGradient(g, 0);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    const float margin = Typed(*spec.params).margin();
    return CatchDnnl("BatchHardTriplet", [&]() -> std::unique_ptr<Kernel> {
      return std::make_unique<BatchHardKernel>(shape.dim(0), shape.dim(1),
                                               margin);
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(triplet, TripletMarginOp, BatchHardTripletOp)

}  // namespace tamer
