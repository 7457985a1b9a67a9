// BatchNorm: each channel has mean 0 and deviation 1 over the minibatch.

#include <cmath>

#include "core/op/gradient.h"
#include "ops/internal/channels.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/norm.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

// Where each stands among the node's inputs, then variables, after x and maybe
// the residual.
enum { kScale, kShift, kMean, kVariance, kVariables };

int64_t FloatBytes(int64_t n) {
  return Aligned(n * static_cast<int64_t>(sizeof(float)));
}

absl::Status CheckActivation(op::Activation activation) {
  if (activation == op::LINEAR || activation == op::RELU) {
    return absl::OkStatus();
  }
  return Invalid("activation is ", op::Activation_Name(activation),
                 "; it must be LINEAR or RELU, others are nodes of their own");
}

class BatchNormKernel : public Kernel {
 public:
  BatchNormKernel(const op::BatchNorm& params, const ChannelLayout& layout,
                  bool residual)
      : layout_(layout),
        residual_(residual),
        relu_(params.activation() == op::RELU),
        running_(params.running()),
        epsilon_(params.epsilon()),
        momentum_(params.momentum()) {}

  int64_t scratch_bytes() const override {
    return layout_.scratch_bytes() + 2 * FloatBytes(layout_.channels);
  }

  absl::Status Run(const KernelArgs& args) override {
    const int64_t channels = layout_.channels;
    const auto variables = args.inputs.subspan(residual_ ? 2 : 1);
    float* mean = args.outputs[1].floats();
    float* inverse = args.outputs[2].floats();
    char* end = static_cast<char*>(args.scratch) + layout_.scratch_bytes();
    auto* factor = reinterpret_cast<float*>(end);
    if (running_) {
      const float* seen = variables[kMean].floats();
      std::copy(seen, seen + channels, mean);
      Invert(variables[kVariance].floats(), inverse);
    } else {
      auto* variance =
          reinterpret_cast<float*>(end + FloatBytes(layout_.channels));
      ChannelMoments(layout_, args.inputs[0].floats(), args.scratch, mean,
                     variance);
      Invert(variance, inverse);
      Follow(mean, variance, variables);
    }
    for (int64_t c = 0; c < channels; ++c) {
      factor[c] = inverse[c] * variables[kScale].floats()[c];
    }
    ChannelAffine(layout_, args.inputs[0].floats(), mean, factor,
                  variables[kShift].floats(),
                  residual_ ? args.inputs[1].floats() : nullptr, relu_,
                  args.outputs[0].floats());
    return absl::OkStatus();
  }

 private:
  void Invert(const float* variance, float* inverse) const {
    for (int64_t c = 0; c < layout_.channels; ++c) {
      inverse[c] = 1.0f / std::sqrt(variance[c] + epsilon_);
    }
  }

  // Moves the running statistics towards the minibatch's.
  void Follow(const float* mean, const float* variance,
              absl::Span<const Tensor> variables) const {
    float* running_mean = variables[kMean].floats();
    float* running_variance = variables[kVariance].floats();
    const auto n = static_cast<double>(layout_.count());
    const auto unbiased = static_cast<float>(n / (n - 1));
    for (int64_t c = 0; c < layout_.channels; ++c) {
      running_mean[c] += momentum_ * (mean[c] - running_mean[c]);
      running_variance[c] +=
          momentum_ * (variance[c] * unbiased - running_variance[c]);
    }
  }

  const ChannelLayout layout_;
  const bool residual_, relu_, running_;
  const float epsilon_, momentum_;
};

class BatchNormOp : public TypedOp<op::BatchNorm> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::BatchNorm& norm = Typed(params);
    if (inputs.size() != 2) {
      TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x, and maybe a residual"));
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    TAMER_RETURN_IF_ERROR(
        CheckNumber(norm.momentum() > 0 && norm.momentum() <= 1, "momentum",
                    norm.momentum(), "above 0, at most 1"));
    TAMER_RETURN_IF_ERROR(CheckEpsilon(norm.epsilon()));
    TAMER_RETURN_IF_ERROR(CheckActivation(norm.activation()));
    TAMER_ASSIGN_OR_RETURN(
        const ChannelLayout layout,
        ChannelLayoutOf(inputs[0].shape, norm.channels_last()));
    const TensorType channels{DType::kFloat, Shape({layout.channels})};
    Inference result = Outputs({inputs[0], channels, channels});
    result.variables = {NormVariable("scale", layout.channels, 1),
                        NormVariable("shift", layout.channels, 0),
                        NormVariable("mean", layout.channels, 0),
                        NormVariable("variance", layout.channels, 1)};
    for (int i : {kMean, kVariance}) {
      result.variables[i].trainable = false;
      result.variables[i].mutated = !norm.running();
    }
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const op::BatchNorm& norm = Typed(g.params());
    const int first = g.num_inputs() - kVariables;
    const bool relu = norm.activation() == op::RELU;
    const bool residual = first == 2 && g.Wanted(1);
    op::BatchNormGradient gradient;
    gradient.set_activation(norm.activation());
    gradient.set_running(norm.running());
    gradient.set_residual(residual && relu);
    gradient.set_channels_last(norm.channels_last());
    std::vector<std::string> inputs = {g.OutputGradient(0), g.Input(0),
                                       g.Output(1), g.Output(2),
                                       g.Input(first + kScale)};
    if (relu) inputs.push_back(g.Output(0));
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", gradient, inputs));
    g.SetGradient(0, dx);
    g.SetGradient(first + kScale, dx + ":1");
    g.SetGradient(first + kShift, dx + ":2");
    if (residual) g.SetGradient(1, relu ? dx + ":3" : g.OutputGradient(0));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::BatchNorm& norm = Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(
        const ChannelLayout layout,
        ChannelLayoutOf(spec.inputs[0].shape, norm.channels_last()));
    if (!norm.running() && layout.count() < 2) {
      return Invalid("in training it needs two values a channel at least, but ",
                     "the input is ", spec.inputs[0].shape.ToString(),
                     "; use a larger minibatch, one that doesn't leave a ",
                     "single sample over");
    }
    const bool residual = spec.inputs.size() == 2 + kVariables;
    return std::make_unique<BatchNormKernel>(norm, layout, residual);
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }

  std::unique_ptr<OpParams> AtInference(const OpParams& params) const override {
    auto copy = std::make_unique<op::BatchNorm>(Typed(params));
    copy->set_running(true);
    return copy;
  }
};

class BatchNormGradientKernel : public Kernel {
 public:
  BatchNormGradientKernel(const op::BatchNormGradient& params,
                          const ChannelLayout& layout)
      : layout_(layout),
        relu_(params.activation() == op::RELU),
        running_(params.running()),
        residual_(params.residual()) {}

  int64_t scratch_bytes() const override {
    return layout_.scratch_bytes() + 3 * FloatBytes(layout_.channels);
  }

  absl::Status Run(const KernelArgs& args) override {
    const float* dy = args.inputs[0].floats();
    const float* x = args.inputs[1].floats();
    const float* mean = args.inputs[2].floats();
    const float* inverse = args.inputs[3].floats();
    const float* scale = args.inputs[4].floats();
    const float* y = relu_ ? args.inputs[5].floats() : nullptr;
    float* dscale = args.outputs[1].floats();
    float* dshift = args.outputs[2].floats();
    const int64_t bytes = FloatBytes(layout_.channels);
    char* end = static_cast<char*>(args.scratch) + layout_.scratch_bytes();
    auto* a = reinterpret_cast<float*>(end);
    auto* b = reinterpret_cast<float*>(end + bytes);
    auto* d = reinterpret_cast<float*>(end + 2 * bytes);
    ChannelSums(layout_, dy, y, x, mean, args.scratch, dshift, dscale);
    const float share =
        running_ ? 0.0f : 1.0f / static_cast<float>(layout_.count());
    for (int64_t c = 0; c < layout_.channels; ++c) {
      dscale[c] *= inverse[c];
      a[c] = scale[c] * inverse[c];
      b[c] = -a[c] * inverse[c] * dscale[c] * share;
      d[c] = -a[c] * dshift[c] * share;
    }
    ChannelGradient(layout_, dy, y, x, mean, a, b, d, args.outputs[0].floats(),
                    residual_ ? args.outputs[3].floats() : nullptr);
    return absl::OkStatus();
  }

 private:
  const ChannelLayout layout_;
  const bool relu_, running_, residual_;
};

class BatchNormGradientOp : public TypedOp<op::BatchNormGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::BatchNormGradient& gradient = Typed(params);
    const bool relu = gradient.activation() == op::RELU;
    TAMER_RETURN_IF_ERROR(CheckActivation(gradient.activation()));
    TAMER_RETURN_IF_ERROR(
        relu ? CheckCount(inputs, 6, "dy, x, mean, inverse, scale, y")
             : CheckCount(inputs, 5, "dy, x, mean, inverse, scale"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
    TAMER_ASSIGN_OR_RETURN(
        const ChannelLayout layout,
        ChannelLayoutOf(inputs[0].shape, gradient.channels_last()));
    const Shape channels({layout.channels});
    const char* names[] = {"mean", "inverse", "scale"};
    for (int i = 0; i < 3; ++i) {
      TAMER_RETURN_IF_ERROR(CheckShape(inputs, i + 2, names[i], channels));
    }
    if (relu) {
      TAMER_RETURN_IF_ERROR(CheckShape(inputs, 5, "y", inputs[0].shape));
    }
    Inference result = Outputs(
        {inputs[0], {DType::kFloat, channels}, {DType::kFloat, channels}});
    if (gradient.residual()) result.outputs.push_back(inputs[0]);
    return result;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::BatchNormGradient& gradient = Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(
        const ChannelLayout layout,
        ChannelLayoutOf(spec.inputs[0].shape, gradient.channels_last()));
    return std::make_unique<BatchNormGradientKernel>(gradient, layout);
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

}  // namespace

TAMER_OP_FAMILY(batch_norm, BatchNormOp, BatchNormGradientOp)

}  // namespace tamer
