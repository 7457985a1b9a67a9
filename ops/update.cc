// Update rules: each one sweep over parameter, gradient and state, at memory
// bandwidth.

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/max_norm.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

bool InUnit(float x) { return x >= 0 && x < 1; }
bool Positive(float x) { return x > 0 && std::isfinite(x); }

// Inputs (parameter, gradient, learning rate[, momentum]) and the settings.
absl::Status CheckUpdate(Types inputs, size_t count,
                         const op::UpdateSettings& settings) {
  TAMER_RETURN_IF_ERROR(
      CheckCount(inputs, count,
                 count == 3 ? "parameter, gradient, learning_rate"
                            : "parameter, gradient, learning_rate, momentum"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
  for (size_t i = 2; i < count; ++i) {
    if (inputs[i].shape.rank() != 0) {
      return Invalid("input ", i, " must be a scalar, but is ",
                     inputs[i].shape.ToString());
    }
  }
  const float multiplier = settings.learning_rate_multiplier();
  const float decay = settings.weight_decay();
  TAMER_RETURN_IF_ERROR(
      CheckNumber(multiplier >= 0 && std::isfinite(multiplier),
                  "learning_rate_multiplier", multiplier, "at least 0"));
  TAMER_RETURN_IF_ERROR(CheckNumber(decay >= 0 && std::isfinite(decay),
                                    "weight_decay", decay, "at least 0"));
  const float norm = settings.max_norm();
  TAMER_RETURN_IF_ERROR(CheckNumber(norm >= 0 && std::isfinite(norm),
                                    "max_norm", norm, "at least 0"));
  if (norm > 0 && inputs[0].shape.rank() != 2) {
    return Invalid("max_norm needs a matrix [in, units], not ",
                   inputs[0].shape.ToString());
  }
  return absl::OkStatus();
}

// The update's own state, shaped as the parameter.
VariableSpec State(const char* name, const TensorType& type) {
  VariableSpec spec;
  spec.name = name;
  spec.type = type;
  spec.initializer.mutable_zero();
  spec.trainable = false;
  spec.decay = false;
  return spec;
}

struct Common {
  int64_t n;
  float multiplier, decay;
  float max_norm;
  int64_t columns;

  // What LimitNorms needs.
  int64_t scratch_bytes() const {
    return max_norm > 0 ? columns * static_cast<int64_t>(sizeof(float)) : 0;
  }
};

Common CommonOf(const KernelSpec& spec, const op::UpdateSettings& settings) {
  const Shape& shape = spec.inputs[0].shape;
  return {shape.elements(), settings.learning_rate_multiplier(),
          settings.weight_decay(), settings.max_norm(),
          shape.rank() == 2 ? shape.dim(1) : 1};
}

void LimitNorms(const Common& common, const KernelArgs& args) {
  LimitColumns(args.inputs[0].floats(), common.n / common.columns,
               common.columns, common.max_norm,
               static_cast<float*>(args.scratch));
}

TAMER_VECTORIZED void SgdSweep(float* p, const float* g, float rate,
                               float decay, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] -= rate * (g[i] + decay * p[i]);
}

class SgdOp : public TypedOp<op::Sgd> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckUpdate(inputs, 3, Typed(params).settings()));
    return Inference();
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Common common = CommonOf(spec, Typed(*spec.params).settings());
    return MakeKernel(
        [common](const KernelArgs& args) {
          const float rate = args.inputs[2].floats()[0] * common.multiplier;
          ParallelFor(common.n, kGrain, [&](int64_t begin, int64_t end) {
            SgdSweep(args.inputs[0].floats() + begin,
                     args.inputs[1].floats() + begin, rate, common.decay,
                     end - begin);
          });
          LimitNorms(common, args);
          return absl::OkStatus();
        },
        common.scratch_bytes());
  }
  std::vector<int> Mutates(const OpParams&) const override { return {0}; }
};

TAMER_VECTORIZED void MomentumSweep(float* __restrict p,
                                    const float* __restrict g,
                                    float* __restrict v, float rate,
                                    float momentum, float decay, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float step = rate * (g[i] + decay * p[i]);
    v[i] = momentum * v[i] - step;
    p[i] += v[i];
  }
}

TAMER_VECTORIZED void NesterovSweep(float* __restrict p,
                                    const float* __restrict g,
                                    float* __restrict v, float rate,
                                    float momentum, float decay, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float step = rate * (g[i] + decay * p[i]);
    const float velocity = momentum * v[i] - step;
    v[i] = velocity;
    p[i] += momentum * velocity - step;
  }
}

class MomentumOp : public TypedOp<op::Momentum> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckUpdate(inputs, 4, Typed(params).settings()));
    Inference result;
    result.variables.push_back(State("velocity", inputs[0]));
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Momentum& rule = Typed(*spec.params);
    const auto sweep = rule.nesterov() ? NesterovSweep : MomentumSweep;
    const Common common = CommonOf(spec, rule.settings());
    return MakeKernel(
        [common, sweep](const KernelArgs& args) {
          const float rate = args.inputs[2].floats()[0] * common.multiplier;
          const float momentum = args.inputs[3].floats()[0];
          ParallelFor(common.n, kGrain, [&](int64_t begin, int64_t end) {
            sweep(args.inputs[0].floats() + begin,
                  args.inputs[1].floats() + begin,
                  args.inputs[4].floats() + begin, rate, momentum, common.decay,
                  end - begin);
          });
          LimitNorms(common, args);
          return absl::OkStatus();
        },
        common.scratch_bytes());
  }
  std::vector<int> Mutates(const OpParams&) const override { return {0, 4}; }
};

struct AdamStep {
  float rate, beta1, beta2, epsilon;
  float correction1, correction2;  // 1 / (1 - beta ^ steps)
  float decay, decoupled_decay;
};

TAMER_VECTORIZED void AdamSweep(float* __restrict p, const float* __restrict g,
                                float* __restrict m, float* __restrict v,
                                const AdamStep& s, int64_t n) {
  const AdamStep step = s;
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + step.decay * p[i];
    m[i] = step.beta1 * m[i] + (1 - step.beta1) * gradient;
    v[i] = step.beta2 * v[i] + (1 - step.beta2) * gradient * gradient;
    const float root = std::sqrt(v[i] * step.correction2) + step.epsilon;
    p[i] -= step.rate *
            (m[i] * step.correction1 / root + step.decoupled_decay * p[i]);
  }
}

class AdamOp : public TypedOp<op::Adam> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Adam& adam = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckUpdate(inputs, 3, adam.settings()));
    TAMER_RETURN_IF_ERROR(
        CheckNumber(InUnit(adam.beta1()), "beta1", adam.beta1(), "in [0, 1)"));
    TAMER_RETURN_IF_ERROR(
        CheckNumber(InUnit(adam.beta2()), "beta2", adam.beta2(), "in [0, 1)"));
    TAMER_RETURN_IF_ERROR(CheckNumber(Positive(adam.epsilon()), "epsilon",
                                      adam.epsilon(), "above 0"));
    Inference result;
    result.variables.push_back(State("first_moment", inputs[0]));
    result.variables.push_back(State("second_moment", inputs[0]));
    // Counted here, so that a resumed run goes on with the right correction.
    result.variables.push_back(State("steps", {DType::kInt32, Shape({1})}));
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Adam& adam = Typed(*spec.params);
    const Common common = CommonOf(spec, adam.settings());
    AdamStep base{};
    base.beta1 = adam.beta1();
    base.beta2 = adam.beta2();
    base.epsilon = adam.epsilon();
    (adam.decoupled_decay() ? base.decoupled_decay : base.decay) = common.decay;
    return MakeKernel(
        [common, base](const KernelArgs& args) {
          AdamStep step = base;
          const int32_t count = ++args.inputs[5].ints()[0];
          step.rate = args.inputs[2].floats()[0] * common.multiplier;
          step.correction1 =
              static_cast<float>(1 / (1 - std::pow(double{base.beta1}, count)));
          step.correction2 =
              static_cast<float>(1 / (1 - std::pow(double{base.beta2}, count)));
          ParallelFor(common.n, kGrain, [&](int64_t begin, int64_t end) {
            AdamSweep(args.inputs[0].floats() + begin,
                      args.inputs[1].floats() + begin,
                      args.inputs[3].floats() + begin,
                      args.inputs[4].floats() + begin, step, end - begin);
          });
          LimitNorms(common, args);
          return absl::OkStatus();
        },
        common.scratch_bytes());
  }
  std::vector<int> Mutates(const OpParams&) const override {
    return {0, 3, 4, 5};
  }
};

// RMSProp (keep < 1) and AdaGrad (keep = add = 1): steps over the root of an
// accumulated square.
TAMER_VECTORIZED void SquareSweep(float* __restrict p,
                                  const float* __restrict g,
                                  float* __restrict a, float rate, float decay,
                                  float keep, float add, float epsilon,
                                  int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] + decay * p[i];
    a[i] = keep * a[i] + add * gradient * gradient;
    p[i] -= rate * gradient / (std::sqrt(a[i]) + epsilon);
  }
}

std::unique_ptr<Kernel> MakeSquareUpdate(const Common& common, float keep,
                                         float add, float epsilon) {
  return MakeKernel(
      [common, keep, add, epsilon](const KernelArgs& args) {
        const float rate = args.inputs[2].floats()[0] * common.multiplier;
        ParallelFor(common.n, kGrain, [&](int64_t begin, int64_t end) {
          SquareSweep(args.inputs[0].floats() + begin,
                      args.inputs[1].floats() + begin,
                      args.inputs[3].floats() + begin, rate, common.decay, keep,
                      add, epsilon, end - begin);
        });
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      common.scratch_bytes());
}

class RmsPropOp : public TypedOp<op::RmsProp> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::RmsProp& rule = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckUpdate(inputs, 3, rule.settings()));
    TAMER_RETURN_IF_ERROR(
        CheckNumber(InUnit(rule.rho()), "rho", rule.rho(), "in [0, 1)"));
    TAMER_RETURN_IF_ERROR(CheckNumber(Positive(rule.epsilon()), "epsilon",
                                      rule.epsilon(), "above 0"));
    Inference result;
    result.variables.push_back(State("mean_square", inputs[0]));
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::RmsProp& rule = Typed(*spec.params);
    return MakeSquareUpdate(CommonOf(spec, rule.settings()), rule.rho(),
                            1 - rule.rho(), rule.epsilon());
  }
  std::vector<int> Mutates(const OpParams&) const override { return {0, 3}; }
};

class AdaGradOp : public TypedOp<op::AdaGrad> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::AdaGrad& rule = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckUpdate(inputs, 3, rule.settings()));
    TAMER_RETURN_IF_ERROR(CheckNumber(Positive(rule.epsilon()), "epsilon",
                                      rule.epsilon(), "above 0"));
    Inference result;
    result.variables.push_back(State("sum_squares", inputs[0]));
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::AdaGrad& rule = Typed(*spec.params);
    return MakeSquareUpdate(CommonOf(spec, rule.settings()), 1, 1,
                            rule.epsilon());
  }
  std::vector<int> Mutates(const OpParams&) const override { return {0, 3}; }
};

class AssignOp : public TypedOp<op::Assign> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "variable, value"));
    if (inputs[0] != inputs[1]) {
      return Invalid("cannot assign ", inputs[1].ToString(), " to ",
                     inputs[0].ToString());
    }
    return Inference();
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return MakeKernel([](const KernelArgs& args) {
      std::memcpy(args.inputs[0].data, args.inputs[1].data,
                  args.inputs[0].bytes());
      return absl::OkStatus();
    });
  }
  std::vector<int> Mutates(const OpParams&) const override { return {0}; }
};

}  // namespace

TAMER_OP_FAMILY(update, SgdOp, MomentumOp, AdamOp, RmsPropOp, AdaGradOp,
                AssignOp)

}  // namespace tamer
