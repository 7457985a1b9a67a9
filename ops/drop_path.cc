// DropPath: stochastic depth.

#include <vector>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/vectors.h"
#include "proto/ops/drop_path.pb.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

class DropPathOp : public TypedOp<op::DropPath> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape& x = inputs[0].shape;
    if (x.rank() < 1)
      return Invalid("x must have a batch dimension, but is []");
    const float rate = Typed(params).rate();
    TAMER_RETURN_IF_ERROR(
        CheckNumber(rate >= 0 && rate < 1, "rate", rate, "in [0, 1)"));
    TensorType factors = inputs[0];
    for (int i = 1; i < x.rank(); ++i) factors.shape.set_dim(i, 1);
    return Outputs({inputs[0], factors});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::Mul(), {g.OutputGradient(0), g.Output(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t samples = spec.inputs[0].shape.dim(0);
    const int64_t n = spec.inputs[0].shape.elements() / samples;
    return MakeKernel([samples, n, rate = Typed(*spec.params).rate(),
                       key = spec.stream_key](const KernelArgs& args) {
      float* factors = args.outputs[1].floats();
      FillUniform(key, args.step, samples, factors);
      for (int64_t i = 0; i < samples; ++i) {
        factors[i] = factors[i] < rate ? 0.0f : 1 / (1 - rate);
      }
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      ParallelFor(samples, (1 << 14) / n + 1, [&](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          Combine(factors[i], x + i * n, 0, x + i * n, n, y + i * n);
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
  bool IdentityAtInference() const override { return true; }
  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }
};

}  // namespace

TAMER_OP_FAMILY(drop_path, DropPathOp)

}  // namespace tamer
