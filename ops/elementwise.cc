// Add, Scale and Identity: loops at memory bandwidth.

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/broadcast.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/broadcast.pb.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

TAMER_VECTORIZED void AddTo(const float* a, const float* b, int64_t n,
                            float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}
TAMER_VECTORIZED void AddOne(const float* a, float b, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b;
}
TAMER_VECTORIZED void MultiplyBy(const float* a, float b, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b;
}

class AddOp : public TypedOp<op::Add> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    if (inputs.size() < 2) {
      return Invalid("takes two inputs or more, not ", inputs.size());
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    for (int i = 1; i < inputs.size(); ++i) {
      TAMER_RETURN_IF_ERROR(
          CheckBroadcast(inputs[0].shape, inputs[i].shape, i));
    }
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    for (int i = 0; i < g.num_inputs(); ++i) {
      std::string dx = g.OutputGradient(0);
      if (g.InputType(i).shape != g.OutputType(0).shape) {
        if (!g.Wanted(i)) continue;
        TAMER_ASSIGN_OR_RETURN(dx, g.Emit(absl::StrCat("sum", i), op::SumLike(),
                                          {dx, g.Input(i)}));
      }
      g.SetGradient(i, dx);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    for (const TensorType& input : spec.inputs) {
      if (input.shape != spec.outputs[0].shape) return MakeSpreading(spec);
    }
    return MakeKernel(
        [n = spec.outputs[0].shape.elements()](const KernelArgs& args) {
          float* y = args.outputs[0].floats();
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            const float* sum = args.inputs[0].floats();
            for (size_t i = 1; i < args.inputs.size(); ++i) {
              AddTo(sum + begin, args.inputs[i].floats() + begin, end - begin,
                    y + begin);
              sum = y;
            }
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }

 private:
  static std::unique_ptr<Kernel> MakeSpreading(const KernelSpec& spec) {
    std::vector<Broadcast> spreads;
    for (size_t i = 1; i < spec.inputs.size(); ++i) {
      spreads.emplace_back(spec.inputs[0].shape, spec.inputs[i].shape);
    }
    return MakeKernel([spreads](const KernelArgs& args) {
      const float* sum = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      for (size_t i = 0; i < spreads.size(); ++i) {
        const float* b = args.inputs[i + 1].floats();
        const Broadcast& spread = spreads[i];
        ForBroadcast(spread, kGrain, [&](int64_t at, int64_t b_at, int64_t n) {
          if (spread.single) {
            AddOne(sum + at, b[b_at], n, y + at);
          } else {
            AddTo(sum + at, b + b_at, n, y + at);
          }
        });
        sum = y;
      }
      return absl::OkStatus();
    });
  }
};

class ScaleOp : public TypedOp<op::Scale> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float factor = Typed(params).factor();
    TAMER_RETURN_IF_ERROR(
        CheckNumber(std::isfinite(factor), "factor", factor, "finite"));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("x", g.params(), {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Scale& scale = Typed(*spec.params);
    const float factor = scale.divide_by_batch()
                             ? scale.factor() / static_cast<float>(spec.batch)
                             : scale.factor();
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(), factor](const KernelArgs& args) {
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            MultiplyBy(args.inputs[0].floats() + begin, factor, end - begin,
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

class IdentityOp : public TypedOp<op::Identity> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    g.SetGradient(0, g.OutputGradient(0));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return MakeCopy();
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }
};

}  // namespace

TAMER_OP_FAMILY(elementwise, AddOp, ScaleOp, IdentityOp)

}  // namespace tamer
