// Elementwise functions of one argument whose gradients are found from it: one
// loop for all values and one for all slopes, vectorised.

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/smooth_activation.pb.h"

namespace tamer {
namespace {

using Function = op::ElementwiseGradient;

constexpr int64_t kGrain = 1 << 13;

// What a function's parameters come to; see ElementwiseGradient.
struct Constants {
  float a = 1, b = 1;
};

TAMER_INLINE float SigmoidOf(float x) { return 1 / (1 + Exp(-x)); }

// Each: the value at x, and the derivative there.
struct EluRule {
  TAMER_INLINE static float Value(float x, Constants c) {
    return c.b * (x > 0 ? x : c.a * (Exp(x) - 1));
  }
  TAMER_INLINE static float Slope(float x, Constants c) {
    return c.b * (x > 0 ? 1.0f : c.a * Exp(x));
  }
};
struct SiluRule {
  TAMER_INLINE static float Value(float x, Constants c) {
    return x * SigmoidOf(c.a * x);
  }
  TAMER_INLINE static float Slope(float x, Constants c) {
    const float s = SigmoidOf(c.a * x);
    return s * (1 + c.a * x * (1 - s));
  }
};
struct HardSwishRule {
  TAMER_INLINE static float Value(float x, Constants) {
    const float gate = x * (1.0f / 6) + 0.5f;
    return x * (gate < 0 ? 0.0f : (gate > 1 ? 1.0f : gate));
  }
  TAMER_INLINE static float Slope(float x, Constants) {
    const float between = x * (1.0f / 3) + 0.5f;
    return x < -3 ? 0.0f : (x > 3 ? 1.0f : between);
  }
};
struct SoftplusRule {
  TAMER_INLINE static float Value(float x, Constants) {
    return (x > 0 ? x : 0.0f) + Log1p(Exp(x > 0 ? -x : x));
  }
  TAMER_INLINE static float Slope(float x, Constants) { return SigmoidOf(x); }
};
struct ExpRule {
  TAMER_INLINE static float Value(float x, Constants) { return Exp(x); }
  TAMER_INLINE static float Slope(float x, Constants) { return Exp(x); }
};
struct LogRule {
  TAMER_INLINE static float Value(float x, Constants) { return Log(x); }
  TAMER_INLINE static float Slope(float x, Constants) { return 1 / x; }
};
struct SqrtRule {
  TAMER_INLINE static float Value(float x, Constants) { return std::sqrt(x); }
  TAMER_INLINE static float Slope(float x, Constants) {
    return 0.5f / std::sqrt(x);
  }
};
struct SquareRule {
  TAMER_INLINE static float Value(float x, Constants) { return x * x; }
  TAMER_INLINE static float Slope(float x, Constants) { return 2 * x; }
};
struct PowRule {
  TAMER_INLINE static float Value(float x, Constants c) {
    return std::pow(x, c.a);
  }
  TAMER_INLINE static float Slope(float x, Constants c) {
    return c.a == 0 ? 0.0f : c.a * std::pow(x, c.a - 1);
  }
};
struct ClipRule {
  TAMER_INLINE static float Value(float x, Constants c) {
    const float below = x > c.b ? c.b : x;
    return below < c.a ? c.a : below;
  }
  TAMER_INLINE static float Slope(float x, Constants c) {
    return x >= c.a && x <= c.b ? 1.0f : 0.0f;
  }
};

struct Values {
  template <typename Rule>
  TAMER_INLINE static void Sweep(const float*, const float* x, int64_t n,
                                 Constants c, float* y) {
    for (int64_t i = 0; i < n; ++i) y[i] = Rule::Value(x[i], c);
  }
};
struct Slopes {
  template <typename Rule>
  TAMER_INLINE static void Sweep(const float* dy, const float* x, int64_t n,
                                 Constants c, float* dx) {
    for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * Rule::Slope(x[i], c);
  }
};

template <typename What>
TAMER_INLINE void SweepOf(Function::Function function, Constants c,
                          const float* dy, const float* x, int64_t n,
                          float* y) {
  switch (function) {
    case Function::ELU:
      return What::template Sweep<EluRule>(dy, x, n, c, y);
    case Function::SILU:
      return What::template Sweep<SiluRule>(dy, x, n, c, y);
    case Function::HARD_SWISH:
      return What::template Sweep<HardSwishRule>(dy, x, n, c, y);
    case Function::SOFTPLUS:
      return What::template Sweep<SoftplusRule>(dy, x, n, c, y);
    case Function::EXP:
      return What::template Sweep<ExpRule>(dy, x, n, c, y);
    case Function::LOG:
      return What::template Sweep<LogRule>(dy, x, n, c, y);
    case Function::SQRT:
      return What::template Sweep<SqrtRule>(dy, x, n, c, y);
    case Function::POW:
      if (c.a == 2) return What::template Sweep<SquareRule>(dy, x, n, c, y);
      return What::template Sweep<PowRule>(dy, x, n, c, y);
    case Function::CLIP:
      return What::template Sweep<ClipRule>(dy, x, n, c, y);
  }
}

TAMER_VECTORIZED void SweepValues(Function::Function function, Constants c,
                                  const float* x, int64_t n, float* y) {
  SweepOf<Values>(function, c, nullptr, x, n, y);
}

TAMER_VECTORIZED void SweepSlopes(Function::Function function, Constants c,
                                  const float* dy, const float* x, int64_t n,
                                  float* dx) {
  SweepOf<Slopes>(function, c, dy, x, n, dx);
}

absl::Status CheckFinite(const char* name, float value) {
  return CheckNumber(std::isfinite(value), name, value, "finite");
}

// A function's parameters, and the rules that they keep.
template <typename Params>
Constants ConstantsOf(const Params&) {
  return Constants();
}
Constants ConstantsOf(const op::Elu& elu) { return {elu.alpha(), 1}; }
Constants ConstantsOf(const op::Selu&) {
  return {1.6732632423543772f, 1.0507009873554805f};
}
Constants ConstantsOf(const op::Silu& silu) { return {silu.beta(), 1}; }
Constants ConstantsOf(const op::Pow& pow) { return {pow.exponent(), 1}; }
Constants ConstantsOf(const op::Clip& clip) { return {clip.min(), clip.max()}; }

template <typename Params>
absl::Status CheckParams(const Params&) {
  return absl::OkStatus();
}
absl::Status CheckParams(const op::Elu& elu) {
  return CheckNumber(elu.alpha() >= 0 && std::isfinite(elu.alpha()), "alpha",
                     elu.alpha(), "at least 0");
}
absl::Status CheckParams(const op::Silu& silu) {
  return CheckFinite("beta", silu.beta());
}
absl::Status CheckParams(const op::Pow& pow) {
  return CheckFinite("exponent", pow.exponent());
}
absl::Status CheckParams(const op::Clip& clip) {
  if (clip.min() <= clip.max()) return absl::OkStatus();
  return Invalid("min is ", clip.min(), " and max ", clip.max(),
                 "; min must not be above max");
}

template <typename Params, Function::Function kFunction>
class FunctionOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckParams(this->Typed(params)));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const Constants c = ConstantsOf(this->Typed(g.params()));
    op::ElementwiseGradient gradient;
    gradient.set_function(kFunction);
    gradient.set_a(c.a);
    gradient.set_b(c.b);
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient, {g.OutputGradient(0), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [n = spec.inputs[0].shape.elements(),
         c = ConstantsOf(this->Typed(*spec.params))](const KernelArgs& args) {
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            SweepValues(kFunction, c, args.inputs[0].floats() + begin,
                        end - begin, args.outputs[0].floats() + begin);
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }
};

using EluOp = FunctionOp<op::Elu, Function::ELU>;
using SeluOp = FunctionOp<op::Selu, Function::ELU>;
using SiluOp = FunctionOp<op::Silu, Function::SILU>;
using HardSwishOp = FunctionOp<op::HardSwish, Function::HARD_SWISH>;
using SoftplusOp = FunctionOp<op::Softplus, Function::SOFTPLUS>;
using ExpOp = FunctionOp<op::Exp, Function::EXP>;
using LogOp = FunctionOp<op::Log, Function::LOG>;
using SqrtOp = FunctionOp<op::Sqrt, Function::SQRT>;
using PowOp = FunctionOp<op::Pow, Function::POW>;
using ClipOp = FunctionOp<op::Clip, Function::CLIP>;

class ElementwiseGradientOp : public TypedOp<op::ElementwiseGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "dy, x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::ElementwiseGradient& params = Typed(*spec.params);
    return MakeKernel(
        [n = spec.inputs[0].shape.elements(), function = params.function(),
         c = Constants{params.a(), params.b()}](const KernelArgs& args) {
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            SweepSlopes(function, c, args.inputs[0].floats() + begin,
                        args.inputs[1].floats() + begin, end - begin,
                        args.outputs[0].floats() + begin);
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }
};

}  // namespace

TAMER_OP_FAMILY(smooth_activation, EluOp, SeluOp, SiluOp, HardSwishOp,
                SoftplusOp, ExpOp, LogOp, SqrtOp, PowOp, ClipOp,
                ElementwiseGradientOp)

}  // namespace tamer
