// Update rules: one sweep over parameter, gradient and state, at memory
// bandwidth; or, where the gradient is a product of matrices, that product and
// the update in one.

#include <omp.h>

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/max_norm.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/tile_update.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;
constexpr int kMostProducts = 8;

bool InUnit(float x) { return x >= 0 && x < 1; }
bool Positive(float x) { return x > 0 && std::isfinite(x); }

// Where an update's inputs are: parameter, gradient or its products' factors,
// learning rate[, momentum], then the rule's state.
struct Slots {
  Slots(const op::UpdateSettings& settings, bool has_momentum)
      : products(settings.product_size()),
        row_sums(products > 0 && settings.product(0).row_sum()),
        factors(row_sums ? 1 : 2),
        rate(products > 0 ? 1 + factors * products : 2),
        momentum(has_momentum ? rate + 1 : -1),
        state(rate + (has_momentum ? 2 : 1)) {}

  int products;
  bool row_sums;  // a vector's
  int factors;    // inputs a product
  int rate, momentum, state;

  // The parameter, and `states` of state.
  std::vector<int> Mutated(int states) const {
    std::vector<int> indices = {0};
    for (int i = 0; i < states; ++i) indices.push_back(state + i);
    return indices;
  }
};

absl::Status CheckRowSums(Types inputs, int products) {
  const Shape& parameter = inputs[0].shape;
  for (int i = 1; i <= products; ++i) {
    if (parameter.rank() != 1 || inputs[i].shape.rank() < 2 ||
        inputs[i].shape.back() != parameter.dim(0)) {
      return Invalid("rows of ", inputs[i].shape.ToString(),
                     " don't add up to a parameter ", parameter.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckProducts(Types inputs, int products) {
  const Shape& parameter = inputs[0].shape;
  if (parameter.rank() != 2) {
    return Invalid("products give a matrix [in, units], but the parameter is ",
                   parameter.ToString());
  }
  for (int i = 0; i < products; ++i) {
    const Shape &a = inputs[1 + 2 * i].shape, &b = inputs[2 + 2 * i].shape;
    if (a.rank() < 2 || b.rank() < 2 || a.rows() != b.rows() ||
        a.back() != parameter.dim(0) || b.back() != parameter.dim(1)) {
      return Invalid("a' b must be ", parameter.ToString(), ", but a is ",
                     a.ToString(), " and b ", b.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSettings(Types inputs, const op::UpdateSettings& settings) {
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

absl::Status CheckUpdate(Types inputs, bool has_momentum,
                         const op::UpdateSettings& settings) {
  const Slots slots(settings, has_momentum);
  TAMER_RETURN_IF_ERROR(CheckNumber(slots.products <= kMostProducts, "product",
                                    slots.products, "8 at the most"));
  TAMER_RETURN_IF_ERROR(CheckCount(
      inputs, slots.state,
      slots.products > 0 ? "parameter, factors, learning_rate[, momentum]"
      : has_momentum     ? "parameter, gradient, learning_rate, momentum"
                         : "parameter, gradient, learning_rate"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  for (const op::GradientProduct& product : settings.product()) {
    if (product.row_sum() != slots.row_sums) {
      return Invalid("row_sum must be the same in all products");
    }
  }
  if (slots.row_sums) {
    TAMER_RETURN_IF_ERROR(CheckRowSums(inputs, slots.products));
  } else if (slots.products > 0) {
    TAMER_RETURN_IF_ERROR(CheckProducts(inputs, slots.products));
  } else {
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
  }
  for (int i = slots.rate; i < slots.state; ++i) {
    if (inputs[i].shape.rank() != 0) {
      return Invalid("input ", i, " must be a scalar, but is ",
                     inputs[i].shape.ToString());
    }
  }
  return CheckSettings(inputs, settings);
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
  int rate, momentum, state;  // inputs

  // What LimitNorms needs.
  int64_t scratch_bytes() const {
    return max_norm > 0 ? columns * static_cast<int64_t>(sizeof(float)) : 0;
  }
  float Rate(const KernelArgs& args) const {
    return args.inputs[rate].floats()[0] * multiplier;
  }
  float Momentum(const KernelArgs& args) const {
    return args.inputs[momentum].floats()[0];
  }
  UpdatedMatrix Matrix(const KernelArgs& args, int states) const {
    UpdatedMatrix matrix;
    matrix.parameter = args.inputs[0].floats();
    for (int i = 0; i < states; ++i) {
      matrix.state[i] = args.inputs[state + i].floats();
    }
    return matrix;
  }
};

Common CommonOf(const KernelSpec& spec, const op::UpdateSettings& settings,
                bool has_momentum) {
  const Shape& shape = spec.inputs[0].shape;
  const Slots slots(settings, has_momentum);
  return {shape.elements(),
          settings.learning_rate_multiplier(),
          settings.weight_decay(),
          settings.max_norm(),
          shape.rank() == 2 ? shape.dim(1) : 1,
          slots.rate,
          slots.momentum,
          slots.state};
}

void LimitNorms(const Common& common, const KernelArgs& args) {
  LimitColumns(args.inputs[0].floats(), common.n / common.columns,
               common.columns, common.max_norm,
               static_cast<float*>(args.scratch));
}

// An update rule is a struct with its constants, applied to a parameter's
// numbers, one at a time or a vector of them: rule(p, gradient, state 0,
// state 1) changes all but the gradient. Its Sweep does that over memory.
struct SgdRule {
  static constexpr int kStates = 0;
  float rate, decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T&, T&) const {
    p -= rate * (g + decay * p);
  }
  TAMER_VECTORIZED static void Sweep(const SgdRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g, float*,
                                     float*) {
    const SgdRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], none, none);
  }
};

struct MomentumRule {
  static constexpr int kStates = 1;
  float rate, momentum, decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& v, T&) const {
    const T step = rate * (g + decay * p);
    v = momentum * v - step;
    p += v;
  }
  TAMER_VECTORIZED static void Sweep(const MomentumRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict v, float*) {
    const MomentumRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], v[i], none);
  }
};

struct NesterovRule {
  static constexpr int kStates = 1;
  float rate, momentum, decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& v, T&) const {
    const T step = rate * (g + decay * p);
    const T velocity = momentum * v - step;
    v = velocity;
    p += momentum * velocity - step;
  }
  TAMER_VECTORIZED static void Sweep(const NesterovRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict v, float*) {
    const NesterovRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], v[i], none);
  }
};

struct AdamRule {
  static constexpr int kStates = 2;
  float rate, beta1, beta2, epsilon;
  float correction1, correction2;  // 1 / (1 - beta ^ steps)
  float decay, decoupled_decay;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& m, T& v) const {
    const T gradient = g + decay * p;
    m = beta1 * m + (1 - beta1) * gradient;
    v = beta2 * v + (1 - beta2) * gradient * gradient;
    T root = v * correction2;
    TakeRoot(root);
    p -= rate * (m * correction1 / (root + epsilon) + decoupled_decay * p);
  }
  TAMER_VECTORIZED static void Sweep(const AdamRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict m, float* __restrict v) {
    const AdamRule rule = constants;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], m[i], v[i]);
  }
};

// RMSProp (keep < 1) and AdaGrad (keep = add = 1): steps over the root of an
// accumulated square.
struct SquareRule {
  static constexpr int kStates = 1;
  float rate, decay, keep, add, epsilon;

  template <typename T>
  TAMER_INLINE void operator()(T& p, const T& g, T& a, T&) const {
    const T gradient = g + decay * p;
    a = keep * a + add * gradient * gradient;
    T root = a;
    TakeRoot(root);
    p -= rate * gradient / (root + epsilon);
  }
  TAMER_VECTORIZED static void Sweep(const SquareRule& constants, int64_t n,
                                     float* __restrict p,
                                     const float* __restrict g,
                                     float* __restrict a, float*) {
    const SquareRule rule = constants;
    float none = 0;
    for (int64_t i = 0; i < n; ++i) rule(p[i], g[i], a[i], none);
  }
};

// A state's place for a sweep that begins at element `at`.
float* From(float* state, int64_t at) {
  return state == nullptr ? nullptr : state + at;
}

// The kernel that takes a gradient as it comes.
template <typename Rule, typename MakeRule>
std::unique_ptr<Kernel> MakeSweep(const Common& common,
                                  const MakeRule& make_rule) {
  return MakeKernel(
      [common, make_rule](const KernelArgs& args) {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        const float* gradient = args.inputs[1].floats();
        ParallelFor(common.n, kGrain, [&](int64_t begin, int64_t end) {
          Rule::Sweep(rule, end - begin, to.parameter + begin, gradient + begin,
                      From(to.state[0], begin), From(to.state[1], begin));
        });
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      common.scratch_bytes());
}

TAMER_VECTORIZED void AddRow(const float* row, float factor, int64_t n,
                             float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += factor * row[i];
}

// The kernel of a vector, whose gradient is sums of rows.
template <typename Rule, typename MakeRule>
std::unique_ptr<Kernel> MakeSummed(
    const Common& common, const std::vector<GradientShape::Term>& terms,
    const MakeRule& make_rule) {
  return MakeKernel(
      [common, terms, make_rule](const KernelArgs& args) {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        float* sum = static_cast<float*>(args.scratch);
        const int64_t grain = kGrain / terms[0].depth + 1;
        ParallelFor(common.n, grain, [&](int64_t begin, int64_t end) {
          std::fill(sum + begin, sum + end, 0.0f);
          for (size_t i = 0; i < terms.size(); ++i) {
            const float* row = args.inputs[1 + i].floats() + begin;
            for (int64_t r = 0; r < terms[i].depth; ++r, row += common.n) {
              AddRow(row, terms[i].factor, end - begin, sum + begin);
            }
          }
          Rule::Sweep(rule, end - begin, to.parameter + begin, sum + begin,
                      From(to.state[0], begin), From(to.state[1], begin));
        });
        return absl::OkStatus();
      },
      common.n * static_cast<int64_t>(sizeof(float)));
}

// The kernel that makes the gradient tile by tile.
template <typename Rule, typename MakeRule>
std::unique_ptr<Kernel> MakeTiled(const Common& common,
                                  const GradientShape& shape,
                                  const MakeRule& make_rule) {
  const int team = std::max(1, omp_get_max_threads());
  const int64_t part = TileScratchBytes(shape);
  const bool alone = shape.rows * shape.columns < kGrain;
  return MakeKernel(
      [common, shape, make_rule, team, part, alone](const KernelArgs& args) {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        OnTeam(alone, [&](int thread, int threads) {
          threads = std::min(threads, team);
          if (thread >= threads) return;
          TileUpdate(shape, args, to, rule,
                     OwnedPart(shape.rows, thread, threads),
                     static_cast<char*>(args.scratch) + thread * part);
        });
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      std::max(common.scratch_bytes(), (alone ? 1 : team) * part));
}

// The kernel that makes it by blocks of rows.
template <typename Rule, typename MakeRule>
absl::StatusOr<std::unique_ptr<Kernel>> MakeBlocked(const Common& common,
                                                    const GradientShape& shape,
                                                    const MakeRule& make_rule) {
  TAMER_ASSIGN_OR_RETURN(GradientBlocks blocks, CatchDnnl("gradient", [&] {
                           return GradientBlocks(shape);
                         }));
  const int64_t scratch =
      std::max(common.scratch_bytes(), blocks.scratch_bytes());
  return MakeKernel(
      [common, make_rule,
       blocks = std::move(blocks)](const KernelArgs& args) mutable {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        TAMER_RETURN_IF_ERROR(blocks.ForEach(
            args, [&](int64_t row, int64_t rows, const float* gradient) {
              const int64_t at = row * common.columns;
              Rule::Sweep(rule, rows * common.columns, to.parameter + at,
                          gradient, From(to.state[0], at),
                          From(to.state[1], at));
            }));
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      scratch);
}

// The kernel of a rule; `make_rule` gives its constants in a step.
template <typename Rule, typename MakeRule>
absl::StatusOr<std::unique_ptr<Kernel>> MakeUpdate(
    const KernelSpec& spec, const op::UpdateSettings& settings,
    const Common& common, const MakeRule& make_rule) {
  if (settings.product().empty()) {
    return MakeSweep<Rule>(common, make_rule);
  }
  TAMER_RETURN_IF_ERROR(CheckPrecision(settings.precision()));
  const GradientShape shape = GradientShapeOf(spec, settings);
  if (settings.product(0).row_sum()) {
    return MakeSummed<Rule>(common, shape.terms, make_rule);
  }
  if (CanTile(shape)) return MakeTiled<Rule>(common, shape, make_rule);
  return MakeBlocked<Rule>(common, shape, make_rule);
}

// What all update rules share.
template <typename Params, bool kMomentum>
class UpdateOp : public TypedOp<Params> {
 public:
  std::vector<int> Mutates(const OpParams& params) const override {
    return SlotsOf(params).Mutated(MutatedStates());
  }
  double Flops(const KernelSpec& spec) const override {
    double depth = 0;
    const Slots slots = SlotsOf(*spec.params);
    for (int i = 0; !slots.row_sums && i < slots.products; ++i) {
      depth += static_cast<double>(spec.inputs[1 + 2 * i].shape.rows());
    }
    return 2 * depth * static_cast<double>(spec.inputs[0].shape.elements());
  }

 protected:
  virtual int MutatedStates() const = 0;

  static const op::UpdateSettings& SettingsOf(const OpParams& params) {
    return TypedOp<Params>::Typed(params).settings();
  }
  static Slots SlotsOf(const OpParams& params) {
    return Slots(SettingsOf(params), kMomentum);
  }
  static absl::Status Check(const OpParams& params, Types inputs) {
    return CheckUpdate(inputs, kMomentum, SettingsOf(params));
  }
  static Common CommonFor(const KernelSpec& spec) {
    return CommonOf(spec, SettingsOf(*spec.params), kMomentum);
  }
};

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
