// What pretraining's passes need beside ordinary layers: noise, quarter turns,
// sparsity and free energy.

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/pretrain.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

// `mask` holds uniform numbers and gets 1 where an element is hit.
TAMER_VECTORIZED void MaskElements(const float* x, float share, int64_t n,
                                   float* mask, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    mask[i] = mask[i] < share ? 1.0f : 0.0f;
    y[i] = x[i] * (1 - mask[i]);
  }
}

// The lower half of the numbers below `share` becomes 0, the upper 1.
TAMER_VECTORIZED void SaltAndPepper(const float* x, float share, int64_t n,
                                    float* mask, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float u = mask[i];
    mask[i] = u < share ? 1.0f : 0.0f;
    y[i] = u < share ? (u < share / 2 ? 0.0f : 1.0f) : x[i];
  }
}

// `mask` holds normal numbers.
TAMER_VECTORIZED void AddNoise(const float* x, float stddev, int64_t n,
                               float* mask, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = x[i] + stddev * mask[i];
    mask[i] = 1;
  }
}

class CorruptOp : public TypedOp<op::Corrupt> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const op::Corrupt& corrupt = Typed(params);
    const float amount = corrupt.amount();
    const bool share = corrupt.kind() != op::Corrupt::GAUSSIAN;
    TAMER_RETURN_IF_ERROR(CheckNumber(
        amount >= 0 && std::isfinite(amount) && (!share || amount <= 1),
        "amount", amount, share ? "in [0, 1]" : "at least 0"));
    if (inputs[0].shape.rank() < 1) return Invalid("x must have a dimension");
    return Outputs({inputs[0], inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Corrupt& corrupt = Typed(*spec.params);
    if (corrupt.kind() == op::Corrupt::FLIP_ONE) return MakeFlip(spec);
    const auto sweep = corrupt.kind() == op::Corrupt::MASK ? MaskElements
                       : corrupt.kind() == op::Corrupt::SALT_PEPPER
                           ? SaltAndPepper
                           : AddNoise;
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(), sweep, amount = corrupt.amount(),
         fill = corrupt.kind() == op::Corrupt::GAUSSIAN ? FillGaussian
                                                        : FillUniform,
         key = spec.stream_key](const KernelArgs& args) {
          float* mask = args.outputs[1].floats();
          fill(key, args.step, n, mask);
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            sweep(args.inputs[0].floats() + begin, amount, end - begin,
                  mask + begin, args.outputs[0].floats() + begin);
          });
          return absl::OkStatus();
        });
  }

  bool IdentityAtInference() const override { return true; }

 private:
  static std::unique_ptr<Kernel> MakeFlip(const KernelSpec& spec) {
    const int64_t rows = spec.inputs[0].shape.dim(0);
    const int64_t width = spec.inputs[0].shape.elements() / rows;
    return MakeKernel(
        [rows, width, key = spec.stream_key](const KernelArgs& args) {
          const Tensor& x = args.inputs[0];
          float* y = args.outputs[0].floats();
          std::memcpy(y, x.data, x.bytes());
          std::memset(args.outputs[1].data, 0, x.bytes());
          for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = r * width + static_cast<int64_t>(RandomBelow(
                                               key, args.step, r, width));
            y[at] = 1 - y[at];
            args.outputs[1].floats()[at] = 1;
          }
          return absl::OkStatus();
        });
  }
};

// Sides of square images [B, s, s] or [B, s * s]; 0 if they are none.
int64_t SideOf(const Shape& shape) {
  if (shape.rank() == 3) return shape.dim(1) == shape.dim(2) ? shape.dim(1) : 0;
  if (shape.rank() != 2) return 0;
  const int64_t side = static_cast<int64_t>(
      std::lround(std::sqrt(static_cast<double>(shape.dim(1)))));
  return side * side == shape.dim(1) ? side : 0;
}

void RotateImage(const float* x, int64_t side, int turns, float* y) {
  for (int64_t r = 0; r < side; ++r) {
    for (int64_t c = 0; c < side; ++c) {
      const int64_t last = side - 1;
      const int64_t from[4] = {r * side + c, c * side + last - r,
                               (last - r) * side + last - c,
                               (last - c) * side + r};
      y[r * side + c] = x[from[turns]];
    }
  }
}

class RotateOp : public TypedOp<op::Rotate> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape& shape = inputs[0].shape;
    if (SideOf(shape) == 0) {
      return Invalid("x must be square images, [B, s, s] or [B, s * s], not ",
                     shape.ToString());
    }
    return Outputs({inputs[0], {DType::kInt32, Shape({shape.dim(0)})}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    return MakeKernel([rows = shape.dim(0), side = SideOf(shape),
                       key = spec.stream_key](const KernelArgs& args) {
      const int64_t size = side * side;
      for (int64_t r = 0; r < rows; ++r) {
        const int turns = static_cast<int>(RandomBelow(key, args.step, r, 4));
        args.outputs[1].ints()[r] = turns;
        RotateImage(args.inputs[0].floats() + r * size, side, turns,
                    args.outputs[0].floats() + r * size);
      }
      return absl::OkStatus();
    });
  }
};

struct SparsityRule {
  float target, cost, decay;
  bool at_logits;
};

// Moves the average q by the minibatch's mean, in `gradient`'s first row until
// then, and returns the penalty; `gradient` gets its derivative for one sample.
double Penalize(const SparsityRule& rule, int64_t units, int64_t rows,
                float* average, float* gradient) {
  constexpr float kLeast = 1e-6f;
  double penalty = 0;
  const double p = rule.target;
  for (int64_t i = 0; i < units; ++i) {
    const float q = rule.decay * average[i] + (1 - rule.decay) * gradient[i];
    average[i] = q;
    const float safe = std::min(std::max(q, kLeast), 1 - kLeast);
    penalty +=
        p * std::log(p / safe) + (1 - p) * std::log((1 - p) / (1 - safe));
    const float slope = rule.at_logits ? 1.0f : 1.0f / (safe * (1 - safe));
    gradient[i] = rule.cost * (q - rule.target) * slope / rows;
  }
  return rule.cost * penalty;
}

class SparsityOp : public TypedOp<op::Sparsity> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "activities"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    if (inputs[0].shape.rank() != 2) {
      return Invalid("activities must be [B, n], but are ",
                     inputs[0].shape.ToString());
    }
    const op::Sparsity& p = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckNumber(p.target() > 0 && p.target() < 1,
                                      "target", p.target(), "in (0, 1)"));
    TAMER_RETURN_IF_ERROR(CheckNumber(p.cost() >= 0 && std::isfinite(p.cost()),
                                      "cost", p.cost(), "at least 0"));
    TAMER_RETURN_IF_ERROR(CheckNumber(p.decay() >= 0 && p.decay() < 1, "decay",
                                      p.decay(), "in [0, 1)"));
    Inference result = Outputs({TensorType(), inputs[0]});
    VariableSpec average;
    average.name = "average";
    average.type.shape = Shape({inputs[0].shape.dim(1)});
    average.initializer.mutable_constant()->set_value(p.target());
    average.trainable = false;
    average.decay = false;
    result.variables.push_back(average);
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    std::string value = g.Output(1);
    if (!g.OutputGradientIsOne(0)) {
      TAMER_ASSIGN_OR_RETURN(
          value, g.Emit("scaled", op::Mul(), {value, g.OutputGradient(0)}));
    }
    g.SetGradient(0, value);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Sparsity& p = Typed(*spec.params);
    const SparsityRule rule{p.target(), p.cost(), p.decay(), p.at_logits()};
    const Shape& shape = spec.inputs[0].shape;
    return MakeKernel([rule, rows = shape.dim(0),
                       units = shape.dim(1)](const KernelArgs& args) {
      float* gradient = args.outputs[1].floats();
      SumRows(args.inputs[0].floats(), rows, units, 1.0f / rows, gradient);
      args.outputs[0].floats()[0] = static_cast<float>(
          Penalize(rule, units, rows, args.inputs[1].floats(), gradient));
      for (int64_t r = 1; r < rows; ++r) {
        std::memcpy(gradient + r * units, gradient, units * sizeof(float));
      }
      return absl::OkStatus();
    });
  }

  std::vector<int> Mutates(const OpParams&) const override { return {1}; }
};

double Softplus(float x) {
  return x > 0 ? x + std::log1p(std::exp(-double{x})) : std::log1p(std::exp(x));
}

class FreeEnergyOp : public TypedOp<op::FreeEnergy> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "v, x, c"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape &v = inputs[0].shape, &x = inputs[1].shape;
    if (v.rank() != 2 || x.rank() != 2 || v.dim(0) != x.dim(0) ||
        inputs[2].shape != Shape({v.dim(1)})) {
      return Invalid("v, x and c must be [B, m], [B, n] and [m], but are ",
                     v.ToString(), ", ", x.ToString(), " and ",
                     inputs[2].shape.ToString());
    }
    return Outputs({{DType::kFloat, Shape({v.dim(0)})}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [rows = spec.inputs[0].shape.dim(0), m = spec.inputs[0].shape.dim(1),
         n = spec.inputs[1].shape.dim(1),
         gaussian = Typed(*spec.params).gaussian()](const KernelArgs& args) {
          const float* c = args.inputs[2].floats();
          ParallelFor(rows, 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              const float* v = args.inputs[0].floats() + r * m;
              const float* x = args.inputs[1].floats() + r * n;
              double energy = 0;
              for (int64_t i = 0; i < m; ++i) {
                energy += gaussian ? 0.5 * (v[i] - c[i]) * (v[i] - c[i])
                                   : -double{v[i]} * c[i];
              }
              for (int64_t j = 0; j < n; ++j) energy -= Softplus(x[j]);
              args.outputs[0].floats()[r] = static_cast<float>(energy);
            }
          });
          return absl::OkStatus();
        });
  }
};

}  // namespace

TAMER_OP_FAMILY(pretrain, CorruptOp, RotateOp, SparsityOp, FreeEnergyOp)

}  // namespace tamer
