// Elementwise ops of two tensors, the second of which may be spread over the
// first; and the sum that is the gradient of spreading.

#include "ops/internal/broadcast.h"

#include <algorithm>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "ops/internal/vectors.h"
#include "proto/ops/broadcast.pb.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

enum class Rule { kSub, kMul, kDiv, kMax, kMin };

template <Rule kRule>
TAMER_INLINE float Apply(float a, float b) {
  switch (kRule) {
    case Rule::kSub:
      return a - b;
    case Rule::kMul:
      return a * b;
    case Rule::kDiv:
      return a / b;
    case Rule::kMax:
      return a > b ? a : b;
    case Rule::kMin:
      break;
  }
  return a < b ? a : b;
}

template <Rule kRule>
TAMER_INLINE void Sweep(const float* a, const float* b, bool single, int64_t n,
                        float* y) {
  if (single) {
    const float one = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = Apply<kRule>(a[i], one);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = Apply<kRule>(a[i], b[i]);
  }
}

TAMER_VECTORIZED void Compute(Rule rule, const float* a, const float* b,
                              bool single, int64_t n, float* y) {
  switch (rule) {
    case Rule::kSub:
      return Sweep<Rule::kSub>(a, b, single, n, y);
    case Rule::kMul:
      return Sweep<Rule::kMul>(a, b, single, n, y);
    case Rule::kDiv:
      return Sweep<Rule::kDiv>(a, b, single, n, y);
    case Rule::kMax:
      return Sweep<Rule::kMax>(a, b, single, n, y);
    case Rule::kMin:
      return Sweep<Rule::kMin>(a, b, single, n, y);
  }
}

// `value` at input i, summed to its shape if it was spread.
absl::Status SetSummed(GradientBuilder& g, int i, std::string value) {
  if (g.InputType(i).shape != g.OutputType(0).shape) {
    TAMER_ASSIGN_OR_RETURN(value,
                           g.Emit("b_sum", op::SumLike(), {value, g.Input(i)}));
  }
  g.SetGradient(i, value);
  return absl::OkStatus();
}

absl::StatusOr<std::string> EmitScaled(GradientBuilder& g, const char* suffix,
                                       float factor, const std::string& value) {
  op::Scale scale;
  scale.set_factor(factor);
  return g.Emit(suffix, scale, {value});
}

absl::Status SubGradient(GradientBuilder& g) {
  g.SetGradient(0, g.OutputGradient(0));
  if (!g.Wanted(1)) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const std::string db,
                         EmitScaled(g, "b", -1, g.OutputGradient(0)));
  return SetSummed(g, 1, db);
}

absl::Status MulGradient(GradientBuilder& g) {
  const std::string dy = g.OutputGradient(0);
  if (g.Wanted(0)) {
    TAMER_ASSIGN_OR_RETURN(const std::string da,
                           g.Emit("a", op::Mul(), {dy, g.Input(1)}));
    g.SetGradient(0, da);
  }
  if (!g.Wanted(1)) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const std::string db,
                         g.Emit("b", op::Mul(), {g.Input(0), dy}));
  return SetSummed(g, 1, db);
}

// da = dy / b, db = -da * y.
absl::Status DivGradient(GradientBuilder& g) {
  TAMER_ASSIGN_OR_RETURN(
      const std::string da,
      g.Emit("a", op::Div(), {g.OutputGradient(0), g.Input(1)}));
  g.SetGradient(0, da);
  if (!g.Wanted(1)) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const std::string product,
                         g.Emit("b_negative", op::Mul(), {da, g.Output(0)}));
  TAMER_ASSIGN_OR_RETURN(const std::string db, EmitScaled(g, "b", -1, product));
  return SetSummed(g, 1, db);
}

absl::Status ExtremeGradientOf(GradientBuilder& g, bool min) {
  op::ExtremeGradient gradient;
  gradient.set_min(min);
  TAMER_ASSIGN_OR_RETURN(
      const std::string da,
      g.Emit("a", gradient, {g.OutputGradient(0), g.Input(0), g.Input(1)}));
  g.SetGradient(0, da);
  if (!g.Wanted(1)) return absl::OkStatus();
  return SetSummed(g, 1, absl::StrCat(da, ":1"));
}

template <typename Params, Rule kRule>
class BinaryOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "a, b"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckBroadcast(inputs[0].shape, inputs[1].shape));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    switch (kRule) {
      case Rule::kSub:
        return SubGradient(g);
      case Rule::kMul:
        return MulGradient(g);
      case Rule::kDiv:
        return DivGradient(g);
      case Rule::kMax:
        return ExtremeGradientOf(g, false);
      case Rule::kMin:
        break;
    }
    return ExtremeGradientOf(g, true);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Broadcast spread(spec.inputs[0].shape, spec.inputs[1].shape);
    return MakeKernel([spread](const KernelArgs& args) {
      const float* a = args.inputs[0].floats();
      const float* b = args.inputs[1].floats();
      float* y = args.outputs[0].floats();
      ForBroadcast(spread, kGrain, [&](int64_t at, int64_t b_at, int64_t n) {
        Compute(kRule, a + at, b + b_at, spread.single, n, y + at);
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

using SubOp = BinaryOp<op::Sub, Rule::kSub>;
using MulOp = BinaryOp<op::Mul, Rule::kMul>;
using DivOp = BinaryOp<op::Div, Rule::kDiv>;
using MaxOp = BinaryOp<op::Max, Rule::kMax>;
using MinOp = BinaryOp<op::Min, Rule::kMin>;

// A share of dy to each: all to the one that was taken. `sign` is -1 for Min.
TAMER_VECTORIZED void Distribute(const float* dy, const float* a,
                                 const float* b, int64_t b_step, float sign,
                                 int64_t n, float* da, float* db) {
  for (int64_t i = 0; i < n; ++i) {
    const float d = sign * (a[i] - b[i * b_step]);
    const float share = d > 0 ? 1.0f : (d < 0 ? 0.0f : 0.5f);
    const float flow = dy[i];  // da may be dy
    da[i] = share * flow;
    db[i] = (1 - share) * flow;
  }
}

class ExtremeGradientOp : public TypedOp<op::ExtremeGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "dy, a, b"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
    TAMER_RETURN_IF_ERROR(CheckBroadcast(inputs[1].shape, inputs[2].shape, 2));
    return Outputs({inputs[0], inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Broadcast spread(spec.inputs[1].shape, spec.inputs[2].shape);
    const float sign = Typed(*spec.params).min() ? -1 : 1;
    return MakeKernel([spread, sign](const KernelArgs& args) {
      ForBroadcast(spread, kGrain, [&](int64_t at, int64_t b_at, int64_t n) {
        Distribute(args.inputs[0].floats() + at, args.inputs[1].floats() + at,
                   args.inputs[2].floats() + b_at, spread.single ? 0 : 1, sign,
                   n, args.outputs[0].floats() + at,
                   args.outputs[1].floats() + at);
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

TAMER_VECTORIZED float RowSum(const float* x, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

class SumLikeOp : public TypedOp<op::SumLike> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, like"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckBroadcast(inputs[0].shape, inputs[1].shape));
    return Outputs({inputs[1]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Broadcast spread(spec.inputs[0].shape, spec.inputs[1].shape);
    const int64_t size = spec.outputs[0].shape.elements();
    if (!spread.single) return MakeColumns(spread, size);
    if (spread.rows > 1) return MakeRows(spread, size);
    return MakeKernel(
        [n = spread.n](const KernelArgs& args) {
          args.outputs[0].floats()[0] =
              static_cast<float>(Sum(args.inputs[0].floats(), n, args.scratch));
          return absl::OkStatus();
        },
        SumScratchBytes(spread.n));
  }

 private:
  // Rows are added to rows; each thread adds its own columns.
  static std::unique_ptr<Kernel> MakeColumns(Broadcast spread, int64_t size) {
    return MakeKernel([spread, size](const KernelArgs& args) {
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      const int64_t n = spread.n;
      const int64_t grain = std::max<int64_t>(64, kGrain / spread.rows);
      ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
        for (int64_t at = 0; at < size; at += n) {
          std::fill(y + at + begin, y + at + end, 0.0f);
        }
        for (int64_t r = 0; r < spread.rows; ++r) {
          float* sum = y + spread.offset(r) + begin;
          Combine(1, sum, 1, x + r * n + begin, end - begin, sum);
        }
      });
      return absl::OkStatus();
    });
  }

  // A row adds up to a number; these are added in order.
  static std::unique_ptr<Kernel> MakeRows(Broadcast spread, int64_t size) {
    return MakeKernel(
        [spread, size](const KernelArgs& args) {
          const float* x = args.inputs[0].floats();
          float* sums = static_cast<float*>(args.scratch);
          ParallelFor(spread.rows, kGrain / spread.n + 1,
                      [&](int64_t r, int64_t end) {
                        for (; r < end; ++r) {
                          sums[r] = RowSum(x + r * spread.n, spread.n);
                        }
                      });
          float* y = args.outputs[0].floats();
          std::fill(y, y + size, 0.0f);
          for (int64_t r = 0; r < spread.rows; ++r) {
            y[spread.offset(r)] += sums[r];
          }
          return absl::OkStatus();
        },
        spread.rows * static_cast<int64_t>(sizeof(float)));
  }
};

}  // namespace

TAMER_OP_FAMILY(broadcast, SubOp, MulOp, DivOp, MaxOp, MinOp, ExtremeGradientOp,
                SumLikeOp)

}  // namespace tamer
