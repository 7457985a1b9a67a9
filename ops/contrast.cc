// Vectors of length 1, and the contrastive loss of pairs of them.

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/losses.h"
#include "ops/internal/matmul.h"
#include "ops/internal/scratch.h"
#include "ops/internal/vectors.h"
#include "proto/ops/contrast.pb.h"

namespace tamer {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kGrain = 1 << 13;

float Length(const float* x, int64_t n, float epsilon) {
  return std::max(std::sqrt(Dot(x, x, n)), epsilon);
}

void Normalize(const float* x, int64_t n, float epsilon, float* y) {
  Combine(1 / Length(x, n, epsilon), x, 0, x, n, y);
}

// dx = (dy - y (y dy)) / |x|, y being x / |x|; dx may be dy.
void NormalizeGradient(const float* dy, const float* x, int64_t n,
                       float epsilon, float* dx) {
  const float scale = 1 / Length(x, n, epsilon);
  const bool constant = std::sqrt(Dot(x, x, n)) < epsilon;
  const float along = constant ? 0 : Dot(dy, x, n) * scale * scale * scale;
  Combine(scale, dy, -along, x, n, dx);
}

absl::Status CheckRows(const TensorType& x) {
  if (x.shape.rank() < 1 || x.shape.back() < 1) {
    return Invalid("the last dimension must be that of the vectors, but x is ",
                   x.shape.ToString());
  }
  return absl::OkStatus();
}

class L2NormalizeOp : public TypedOp<op::L2Normalize> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckRows(inputs[0]));
    TAMER_RETURN_IF_ERROR(CheckAboveZero("epsilon", Typed(params).epsilon()));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::L2NormalizeGradient gradient;
    gradient.set_epsilon(Typed(g.params()).epsilon());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient, {g.OutputGradient(0), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t n = spec.inputs[0].shape.back();
    const int64_t rows = spec.inputs[0].shape.rows();
    return MakeKernel([rows, n, epsilon = Typed(*spec.params).epsilon()](
                          const KernelArgs& args) {
      ParallelFor(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          Normalize(args.inputs[0].floats() + r * n, n, epsilon,
                    args.outputs[0].floats() + r * n);
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

class L2NormalizeGradientOp : public TypedOp<op::L2NormalizeGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "dy, x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    TAMER_RETURN_IF_ERROR(CheckRows(inputs[0]));
    TAMER_RETURN_IF_ERROR(CheckAboveZero("epsilon", Typed(params).epsilon()));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t n = spec.inputs[0].shape.back();
    const int64_t rows = spec.inputs[0].shape.rows();
    return MakeKernel([rows, n, epsilon = Typed(*spec.params).epsilon()](
                          const KernelArgs& args) {
      ParallelFor(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          NormalizeGradient(args.inputs[0].floats() + r * n,
                            args.inputs[1].floats() + r * n, n, epsilon,
                            args.outputs[0].floats() + r * n);
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

// Vectors z of length 1, in scratch; their similarities s = z z' / temperature;
// g, the loss's gradient at s, in its place; then dz = (g z + g' z) /
// temperature.
class InfoNceKernel : public Kernel {
 public:
  // May throw dnnl::error.
  InfoNceKernel(int64_t n, int64_t width, size_t inputs, float temperature)
      : n_(n),
        width_(width),
        each_(n / static_cast<int64_t>(inputs)),
        similarity_({n, width, width, false}, {n, width, width, true},
                    {n, n, n, false}, Scaled(1 / temperature, false)),
        rows_({n, n, n, false}, {n, width, width, false},
              {n, width, width, false}, Scaled(1 / temperature, false)),
        columns_({n, n, n, true}, {n, width, width, false},
                 {n, width, width, false}, Scaled(1 / temperature, true)) {
    z_ = scratch_.Reserve(n * width * kFloat);
    s_ = scratch_.Reserve(n * n * kFloat);
    dz_ = scratch_.Reserve(n * width * kFloat);
    losses_ = scratch_.Reserve(n * kFloat);
    nearest_ = scratch_.Reserve(n * kFloat);
    product_ = scratch_.Reserve(
        std::max({similarity_.scratch_bytes(), rows_.scratch_bytes(),
                  columns_.scratch_bytes()}));
  }

  absl::Status Run(const KernelArgs& args) override {
    float* z = Scratch::At<float>(args.scratch, z_);
    float* s = Scratch::At<float>(args.scratch, s_);
    float* dz = Scratch::At<float>(args.scratch, dz_);
    void* product = Scratch::At<void>(args.scratch, product_);
    ForRows([&](int64_t r) {
      Normalize(Row(args.inputs, 0, r), width_, kEpsilon, z + r * width_);
    });
    TAMER_RETURN_IF_ERROR(similarity_.Run(z, z, nullptr, s, product));
    SoftmaxOfOthers(s, args);
    TAMER_RETURN_IF_ERROR(rows_.Run(s, z, nullptr, dz, product));
    TAMER_RETURN_IF_ERROR(columns_.Run(s, z, nullptr, dz, product));
    ForRows([&](int64_t r) {
      NormalizeGradient(dz + r * width_, Row(args.inputs, 0, r), width_,
                        kEpsilon, Row(args.outputs, 1, r));
    });
    return absl::OkStatus();
  }
  int64_t scratch_bytes() const override { return scratch_.bytes(); }

 private:
  static constexpr float kEpsilon = 1e-8f;

  static ProductSettings Scaled(float scale, bool add) {
    ProductSettings settings;
    settings.scale = scale;
    settings.add = add;
    return settings;
  }

  template <typename Body>
  void ForRows(const Body& body) const {
    ParallelFor(n_, kGrain / width_ + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }

  // Row r of the inputs or their gradients, seen as one matrix.
  float* Row(absl::Span<const Tensor> tensors, int64_t first, int64_t r) const {
    return tensors[first + r / each_].floats() + r % each_ * width_;
  }

  void SoftmaxOfOthers(float* s, const KernelArgs& args) const {
    float* losses = Scratch::At<float>(args.scratch, losses_);
    float* nearest = Scratch::At<float>(args.scratch, nearest_);
    ParallelFor(n_, kGrain / n_ + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        float* row = s + r * n_;
        const auto partner = static_cast<int32_t>((r + n_ / 2) % n_);
        row[r] = -1e30f;  // a vector is not its own candidate
        nearest[r] = RankOf(row, n_, partner) == 0 ? 1.0f : 0.0f;
        losses[r] = SoftmaxLossRow(row, n_, partner, SmoothedTarget(),
                                   1 / static_cast<float>(n_), row);
      }
    });
    double loss = 0, right = 0;
    for (int64_t r = 0; r < n_; ++r) {
      loss += losses[r];
      right += nearest[r];
    }
    args.outputs[0].floats()[0] = static_cast<float>(loss / n_);
    args.outputs.back().floats()[0] = static_cast<float>(right / n_);
  }

  const int64_t n_, width_, each_;
  Product similarity_, rows_, columns_;
  Scratch scratch_;
  int64_t z_, s_, dz_, losses_, nearest_, product_;
};

class InfoNceOp : public TypedOp<op::InfoNce> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    if (inputs.empty() || inputs.size() > 2) {
      return Invalid("takes x [2B, d], or a [B, d] and b [B, d], not ",
                     inputs.size(), " inputs");
    }
    TAMER_RETURN_IF_ERROR(CheckVectors(inputs));
    if (inputs.size() == 1 && inputs[0].shape.dim(0) % 2 != 0) {
      return Invalid("x must be an even number of vectors, as [2B, d], but is ",
                     inputs[0].shape.ToString());
    }
    TAMER_RETURN_IF_ERROR(
        CheckAboveZero("temperature", Typed(params).temperature()));
    Inference result = Outputs({TensorType()});
    for (const TensorType& input : inputs) result.outputs.push_back(input);
    result.outputs.emplace_back();
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (g.OutputGradient(0).empty()) return absl::OkStatus();
    for (int i = 0; i < g.num_inputs(); ++i) {
      if (g.Wanted(i)) TAMER_RETURN_IF_ERROR(EmitLossGradient(g, i, i + 1));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const size_t inputs = spec.inputs.size();
    const Shape& shape = spec.inputs[0].shape;
    const int64_t n = shape.dim(0) * static_cast<int64_t>(inputs);
    const float temperature = Typed(*spec.params).temperature();
    return CatchDnnl("InfoNce", [&]() -> std::unique_ptr<Kernel> {
      return std::make_unique<InfoNceKernel>(n, shape.dim(1), inputs,
                                             temperature);
    });
  }

  double Flops(const KernelSpec& spec) const override {
    const double inputs = static_cast<double>(spec.inputs.size());
    const double n = inputs * static_cast<double>(spec.inputs[0].shape.dim(0));
    return 6 * n * n * static_cast<double>(spec.inputs[0].shape.dim(1));
  }
};

}  // namespace

TAMER_OP_FAMILY(contrast, L2NormalizeOp, L2NormalizeGradientOp, InfoNceOp)

}  // namespace tamer
