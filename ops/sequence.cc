// Sequences padded to one length: what they are, as a whole, where they end.

#include <algorithm>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/lengths.h"
#include "ops/internal/sums.h"
#include "proto/ops/sequence.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements worth another thread

class SequenceLengthOp : public TypedOp<op::SequenceLength> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "tokens"));
    if (inputs[0].dtype != DType::kInt32 || inputs[0].shape.rank() != 2) {
      return Invalid("tokens must be INT32 [B, T], but are ",
                     inputs[0].ToString());
    }
    return Outputs({{DType::kInt32, Shape({inputs[0].shape.dim(0)})}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t batch = spec.inputs[0].shape.dim(0);
    const int64_t steps = spec.inputs[0].shape.dim(1);
    return MakeKernel([batch, steps](const KernelArgs& args) {
      const int32_t* token = args.inputs[0].ints();
      for (int64_t b = 0; b < batch; ++b, token += steps) {
        args.outputs[0].ints()[b] = static_cast<int32_t>(std::count_if(
            token, token + steps, [](int32_t t) { return t >= 0; }));
      }
      return absl::OkStatus();
    });
  }
};

// One vector for each sequence.
template <typename Params, op::StepGradient::Kind kKind>
class StepOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckSequences(inputs));
    const Shape& x = inputs[0].shape;
    return Outputs({{DType::kFloat, Shape({x.dim(0), x.dim(2)})}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (!g.Wanted(0)) return absl::OkStatus();
    op::StepGradient gradient;
    gradient.set_kind(kKind);
    gradient.set_steps(g.InputType(0).shape.dim(1));
    std::vector<std::string> inputs = {g.OutputGradient(0)};
    if (g.num_inputs() == 2) inputs.push_back(g.Input(1));
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", gradient, inputs));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape x = spec.inputs[0].shape;
    const int64_t batch = x.dim(0), steps = x.dim(1), width = x.dim(2);
    return MakeKernel([batch, steps, width](const KernelArgs& args) {
      const int32_t* lengths = LengthsOf(args, 1);
      TAMER_RETURN_IF_ERROR(CheckLengths(lengths, batch, steps));
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      const int64_t sample = kKind == op::StepGradient::LAST ? 1 : steps;
      ParallelFor(batch, kGrain / (sample * width) + 1,
                  [&](int64_t b, int64_t end) {
                    for (; b < end; ++b) {
                      const int64_t length = LengthAt(lengths, b, steps);
                      Pick(x + b * steps * width, length, width, y + b * width);
                    }
                  });
      return absl::OkStatus();
    });
  }

 private:
  static void Pick(const float* x, int64_t length, int64_t width, float* y) {
    if (kKind == op::StepGradient::LAST && length > 0) {
      std::memcpy(y, x + (length - 1) * width, width * sizeof(float));
      return;
    }
    std::fill(y, y + width, 0.0f);
    for (int64_t t = 0; t < length; ++t) {
      AddScaledRow(x + t * width, 1, width, y);
    }
    for (int64_t c = 0; length > 1 && c < width; ++c) {
      y[c] /= static_cast<float>(length);
    }
  }
};

using LastStepOp = StepOp<op::LastStep, op::StepGradient::LAST>;
using MeanStepOp = StepOp<op::MeanStep, op::StepGradient::MEAN>;

class StepGradientOp : public TypedOp<op::StepGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    if (inputs.size() != 2) {
      TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "dy, and maybe lengths"));
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
    const Shape& dy = inputs[0].shape;
    const int64_t steps = Typed(params).steps();
    if (dy.rank() != 2) {
      return Invalid("dy must be [B, features], but is ", dy.ToString());
    }
    if (steps < 1) return Invalid("steps is ", steps, "; it must be above 0");
    if (inputs.size() == 2) {
      TAMER_RETURN_IF_ERROR(CheckLengthsType(inputs[1], dy.dim(0)));
    }
    return Outputs({{DType::kFloat, Shape({dy.dim(0), steps, dy.dim(1)})}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const bool last = Typed(*spec.params).kind() == op::StepGradient::LAST;
    const Shape& dx = spec.outputs[0].shape;
    const int64_t batch = dx.dim(0), steps = dx.dim(1), width = dx.dim(2);
    return MakeKernel([last, batch, steps, width](const KernelArgs& args) {
      const int32_t* lengths = LengthsOf(args, 1);
      TAMER_RETURN_IF_ERROR(CheckLengths(lengths, batch, steps));
      ParallelFor(
          batch, kGrain / (steps * width) + 1, [&](int64_t b, int64_t end) {
            for (; b < end; ++b) {
              const float* dy = args.inputs[0].floats() + b * width;
              float* dx = args.outputs[0].floats() + b * steps * width;
              const int64_t length = LengthAt(lengths, b, steps);
              std::fill(dx, dx + steps * width, 0.0f);
              for (int64_t t = last ? std::max<int64_t>(0, length - 1) : 0;
                   t < length; ++t) {
                const float share = last ? 1 : static_cast<float>(length);
                for (int64_t c = 0; c < width; ++c) {
                  dx[t * width + c] = dy[c] / share;
                }
              }
            }
          });
      return absl::OkStatus();
    });
  }
};

class MaskStepsOp : public TypedOp<op::MaskSteps> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, lengths"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
    const Shape& x = inputs[0].shape;
    if (x.rank() < 2 || x.dim(1) < 1) {
      return Invalid("the input must be [B, T, ...], but is ", x.ToString());
    }
    TAMER_RETURN_IF_ERROR(CheckLengthsType(inputs[1], x.dim(0)));
    return Outputs({inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (!g.Wanted(0)) return absl::OkStatus();
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::MaskSteps(), {g.OutputGradient(0), g.Input(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    const int64_t batch = shape.dim(0), steps = shape.dim(1);
    const int64_t sample = shape.elements() / batch, step = sample / steps;
    return MakeKernel([=](const KernelArgs& args) {
      const int32_t* lengths = LengthsOf(args, 1);
      TAMER_RETURN_IF_ERROR(CheckLengths(lengths, batch, steps));
      ParallelFor(batch, kGrain / sample + 1, [&](int64_t b, int64_t end) {
        for (; b < end; ++b) {
          const float* x = args.inputs[0].floats() + b * sample;
          float* y = args.outputs[0].floats() + b * sample;
          const int64_t valid = LengthAt(lengths, b, steps) * step;
          if (x != y) std::memcpy(y, x, valid * sizeof(float));
          std::fill(y + valid, y + sample, 0.0f);
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(sequence, SequenceLengthOp, LastStepOp, MeanStepOp,
                StepGradientOp, MaskStepsOp)

}  // namespace tamer
