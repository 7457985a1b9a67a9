// Update rules: one sweep over parameter, gradient and state, at memory
// bandwidth; or, where the gradient is a product of matrices, that product and
// the update in one.

#include <cmath>
#include <cstring>

#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/update_kernel.h"
#include "ops/internal/update_op.h"
#include "ops/internal/update_rules.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

bool InUnit(float x) { return x >= 0 && x < 1; }
bool Positive(float x) { return x > 0 && std::isfinite(x); }

class SgdOp : public UpdateOp<op::Sgd, false> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(Check(params, inputs));
    return Inference();
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Common common = CommonFor(spec);
    return MakeUpdate<SgdRule>(
        spec, SettingsOf(*spec.params), common,
        [common](const KernelArgs& args) {
          return SgdRule{common.Rate(args), common.decay};
        });
  }
  int MutatedStates() const override { return 0; }
};

class MomentumOp : public UpdateOp<op::Momentum, true> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(Check(params, inputs));
    Inference result;
    result.variables.push_back(State("velocity", inputs[0]));
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return Typed(*spec.params).nesterov() ? Make<NesterovRule>(spec)
                                          : Make<MomentumRule>(spec);
  }
  int MutatedStates() const override { return 1; }

 private:
  template <typename Rule>
  static absl::StatusOr<std::unique_ptr<Kernel>> Make(const KernelSpec& spec) {
    const Common common = CommonFor(spec);
    return MakeUpdate<Rule>(
        spec, SettingsOf(*spec.params), common,
        [common](const KernelArgs& args) {
          return Rule{common.Rate(args), common.Momentum(args), common.decay};
        });
  }
};

class AdamOp : public UpdateOp<op::Adam, false> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Adam& adam = Typed(params);
    TAMER_RETURN_IF_ERROR(Check(params, inputs));
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
    const Common common = CommonFor(spec);
    AdamRule base{};
    base.beta1 = adam.beta1();
    base.beta2 = adam.beta2();
    base.epsilon = adam.epsilon();
    (adam.decoupled_decay() ? base.decoupled_decay : base.decay) = common.decay;
    return MakeUpdate<AdamRule>(
        spec, adam.settings(), common, [common, base](const KernelArgs& args) {
          AdamRule rule = base;
          const int32_t count = ++args.inputs[common.state + 2].ints()[0];
          const auto correction = [count](float beta) {
            return static_cast<float>(1 / (1 - std::pow(double{beta}, count)));
          };
          rule.rate = common.Rate(args);
          rule.correction1 = correction(base.beta1);
          rule.correction2 = correction(base.beta2);
          return rule;
        });
  }
  int MutatedStates() const override { return 3; }
};

absl::StatusOr<std::unique_ptr<Kernel>> MakeSquareUpdate(
    const KernelSpec& spec, const op::UpdateSettings& settings,
    const Common& common, float keep, float add, float epsilon) {
  return MakeUpdate<SquareRule>(
      spec, settings, common,
      [common, keep, add, epsilon](const KernelArgs& args) {
        return SquareRule{common.Rate(args), common.decay, keep, add, epsilon};
      });
}

class RmsPropOp : public UpdateOp<op::RmsProp, false> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::RmsProp& rule = Typed(params);
    TAMER_RETURN_IF_ERROR(Check(params, inputs));
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
    return MakeSquareUpdate(spec, rule.settings(), CommonFor(spec), rule.rho(),
                            1 - rule.rho(), rule.epsilon());
  }
  int MutatedStates() const override { return 1; }
};

class AdaGradOp : public UpdateOp<op::AdaGrad, false> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::AdaGrad& rule = Typed(params);
    TAMER_RETURN_IF_ERROR(Check(params, inputs));
    TAMER_RETURN_IF_ERROR(CheckNumber(Positive(rule.epsilon()), "epsilon",
                                      rule.epsilon(), "above 0"));
    Inference result;
    result.variables.push_back(State("sum_squares", inputs[0]));
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::AdaGrad& rule = Typed(*spec.params);
    return MakeSquareUpdate(spec, rule.settings(), CommonFor(spec), 1, 1,
                            rule.epsilon());
  }
  int MutatedStates() const override { return 1; }
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
