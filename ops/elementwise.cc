// Add, Sub, Mul, Scale and Identity: loops at memory bandwidth.

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

TAMER_VECTORIZED void AddTo(const float* a, const float* b, int64_t n,
                            float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}
TAMER_VECTORIZED void Subtract(const float* a, const float* b, int64_t n,
                               float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] - b[i];
}
TAMER_VECTORIZED void Multiply(const float* a, const float* b, int64_t n,
                               float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}
TAMER_VECTORIZED void MultiplyBy(const float* a, float b, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b;
}

absl::Status CheckPair(Types inputs) {
  TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "a, b"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  return CheckSameShape(inputs);
}

class AddOp : public TypedOp<op::Add> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    if (inputs.size() < 2) {
      return Invalid("takes two inputs or more, not ", inputs.size());
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    for (int i = 0; i < g.num_inputs(); ++i) {
      g.SetGradient(i, g.OutputGradient(0));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
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
};

class SubOp : public TypedOp<op::Sub> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckPair(inputs));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    g.SetGradient(0, g.OutputGradient(0));
    if (!g.Wanted(1)) return absl::OkStatus();
    op::Scale negate;
    negate.set_factor(-1);
    TAMER_ASSIGN_OR_RETURN(const std::string db,
                           g.Emit("b", negate, {g.OutputGradient(0)}));
    g.SetGradient(1, db);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [n = spec.outputs[0].shape.elements()](const KernelArgs& args) {
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            Subtract(args.inputs[0].floats() + begin,
                     args.inputs[1].floats() + begin, end - begin,
                     args.outputs[0].floats() + begin);
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

class MulOp : public TypedOp<op::Mul> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "a, b"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    if (inputs[1].shape.rank() > 0) {
      TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    }
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const std::string dy = g.OutputGradient(0);
    if (g.Wanted(0)) {
      TAMER_ASSIGN_OR_RETURN(const std::string da,
                             g.Emit("a", op::Mul(), {dy, g.Input(1)}));
      g.SetGradient(0, da);
    }
    if (g.Wanted(1)) {
      TAMER_ASSIGN_OR_RETURN(std::string db,
                             g.Emit("b", op::Mul(), {g.Input(0), dy}));
      const bool scalar = g.InputType(1).shape.rank() == 0;
      if (scalar && g.InputType(0).shape.rank() > 0) {
        TAMER_ASSIGN_OR_RETURN(db, g.Emit("b_sum", op::Reduce(), {db}));
      }
      g.SetGradient(1, db);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const bool scalar = spec.inputs[1].shape.rank() == 0;
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(), scalar](const KernelArgs& args) {
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            const float* a = args.inputs[0].floats() + begin;
            const float* b = args.inputs[1].floats();
            float* y = args.outputs[0].floats() + begin;
            if (scalar) {
              MultiplyBy(a, *b, end - begin, y);
            } else {
              Multiply(a, b + begin, end - begin, y);
            }
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
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
};

}  // namespace

TAMER_OP_FAMILY(elementwise, AddOp, SubOp, MulOp, ScaleOp, IdentityOp)

}  // namespace tamer
