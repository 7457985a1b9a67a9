// Elementwise activations and softmax: forward on oneDNN, gradients from the
// results, which need no exponential.

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/activations.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/primitives.h"
#include "proto/ops/activation.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

template <typename Params, op::Activation kActivation>
class ActivationOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float slope = Slope(params);
    TAMER_RETURN_IF_ERROR(
        CheckNumber(slope >= 0 && slope <= 1, "slope", slope, "in [0, 1]"));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::ActivationGradient gradient;
    gradient.set_activation(kActivation);
    gradient.set_slope(Slope(g.params()));
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient,
               {g.OutputGradient(0),
                kActivation == op::GELU ? g.Input(0) : g.Output(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeActivation(kActivation, Slope(*spec.params),
                          spec.inputs[0].shape.elements());
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }

 private:
  static float Slope(const OpParams& params) {
    if constexpr (kActivation == op::LEAKY_RELU) {
      return static_cast<const Params&>(params).slope();
    }
    return 0;
  }
};

using SigmoidOp = ActivationOp<op::Sigmoid, op::SIGMOID>;
using TanhOp = ActivationOp<op::Tanh, op::TANH>;
using ReluOp = ActivationOp<op::Relu, op::RELU>;
using LeakyReluOp = ActivationOp<op::LeakyRelu, op::LEAKY_RELU>;
using GeluOp = ActivationOp<op::Gelu, op::GELU>;

class ActivationGradientOp : public TypedOp<op::ActivationGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "dy, y"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    if (Typed(params).activation() == op::LINEAR) {
      return Invalid("LINEAR needs no gradient op");
    }
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::ActivationGradient& params = Typed(*spec.params);
    const int64_t n = spec.inputs[0].shape.elements();
    if (params.activation() == op::GELU) return MakeGeluGradient(n);
    return MakeKernel([n, activation = params.activation(),
                       slope = params.slope()](const KernelArgs& args) {
      const float* dy = args.inputs[0].floats();
      const float* y = args.inputs[1].floats();
      float* dx = args.outputs[0].floats();
      ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
        MultiplyBySlope(activation, slope, dy + begin, y + begin, end - begin,
                        dx + begin);
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

template <typename Params, bool kLog>
class SoftmaxOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    if (inputs[0].shape.rank() < 1 || inputs[0].shape.back() < 1) {
      return Invalid("the last dimension must be that of the classes, but the ",
                     "input is ", inputs[0].shape.ToString());
    }
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::SoftmaxGradient gradient;
    gradient.set_log(kLog);
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient, {g.OutputGradient(0), g.Output(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    return MakeSoftmax(shape.rows(), shape.back(), kLog);
  }
};

using PlainSoftmaxOp = SoftmaxOp<op::Softmax, false>;
using LogSoftmaxOp = SoftmaxOp<op::LogSoftmax, true>;

// dx = y * (dy - sum(dy * y)), or for the logarithm dy - exp(y) * sum(dy).
void SoftmaxGradientRow(const float* dy, const float* y, int64_t n, bool log,
                        float* dx) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += log ? dy[i] : double{dy[i]} * y[i];
  const float s = static_cast<float>(sum);
  for (int64_t i = 0; i < n; ++i) {
    dx[i] = log ? dy[i] - std::exp(y[i]) * s : y[i] * (dy[i] - s);
  }
}

class SoftmaxGradientOp : public TypedOp<op::SoftmaxGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "dy, y"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.rows();
    const int64_t n = spec.inputs[0].shape.back();
    return MakeKernel(
        [rows, n, log = Typed(*spec.params).log()](const KernelArgs& args) {
          ParallelFor(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              SoftmaxGradientRow(args.inputs[0].floats() + r * n,
                                 args.inputs[1].floats() + r * n, n, log,
                                 args.outputs[0].floats() + r * n);
            }
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(activation, SigmoidOp, TanhOp, ReluOp, LeakyReluOp, GeluOp,
                ActivationGradientOp, PlainSoftmaxOp, LogSoftmaxOp,
                SoftmaxGradientOp)

}  // namespace tamer
