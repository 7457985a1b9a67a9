#include "ops/internal/conv.h"

#include "core/base/parallel.h"
#include "ops/internal/activations.h"
#include "ops/internal/conv_primitives.h"
#include "ops/internal/conv_tiles.h"
#include "ops/internal/primitives.h"
#include "ops/internal/winograd.h"

namespace tamer {
namespace {

using dnnl::memory;

// Runs `kernel`, an elementwise one, from one tensor to another.
absl::Status RunUnary(Kernel& kernel, const Tensor& from, const Tensor& to,
                      void* scratch) {
  KernelArgs args;
  args.inputs = absl::MakeConstSpan(&from, 1);
  args.outputs = absl::MakeConstSpan(&to, 1);
  args.scratch = scratch;
  return kernel.Run(args);
}

class ConvKernel : public Kernel {
 public:
  ConvKernel(const ConvShape& shape, const ConvSettings& settings)
      : bias_(settings.bias) {
    dnnl::primitive_attr attributes = UserScratchpad();
    if (settings.activation != op::LINEAR && settings.activation != op::GELU) {
      dnnl::post_ops post;
      AppendActivation(settings.activation, settings.slope, &post);
      attributes.set_post_ops(post);
    }
    memory::desc liked;
    conv_ =
        ImagePrimitive(shape, shape.x(), shape.y(), [&](const ConvShape& part) {
          const ConvDescs descs(part);
          const auto chosen = descs.Forward(settings.bias, attributes);
          liked = chosen.weights_desc();
          std::vector<Primitive::Argument> arguments = {
              {DNNL_ARG_SRC, descs.x},
              {DNNL_ARG_WEIGHTS, liked},
              {DNNL_ARG_DST, descs.y}};
          if (bias_) arguments.push_back({DNNL_ARG_BIAS, chosen.bias_desc()});
          return Primitive(dnnl::convolution_forward(chosen), arguments,
                           chosen.scratchpad_desc());
        });
    weight_ = WeightReorder(ConvDescs(shape).weight, liked);
  }

  // Applies an activation that needs its argument kept.
  void Then(std::unique_ptr<Kernel> activation) {
    activation_ = std::move(activation);
  }

  absl::Status Run(const KernelArgs& args) override {
    char* scratch = static_cast<char*>(args.scratch);
    TAMER_ASSIGN_OR_RETURN(void* weight,
                           weight_.Run(args.inputs[1].data, scratch));
    const Tensor& sum = args.outputs[activation_ != nullptr ? 1 : 0];
    scratch += weight_.bytes();
    TAMER_RETURN_IF_ERROR(
        conv_.Run(args.inputs[0].floats(), weight, sum.floats(),
                  bias_ ? args.inputs[2].data : nullptr, scratch));
    if (activation_ == nullptr) return absl::OkStatus();
    return RunUnary(*activation_, sum, args.outputs[0], scratch);
  }

  int64_t scratch_bytes() const override {
    return weight_.bytes() +
           std::max(conv_.scratch_bytes(),
                    activation_ ? activation_->scratch_bytes() : 0);
  }

 private:
  const bool bias_;
  WeightReorder weight_;
  ImagePrimitive conv_;
  std::unique_ptr<Kernel> activation_;
};

class InputGradientKernel : public Kernel {
 public:
  InputGradientKernel(const ConvShape& shape, const ConvSettings& settings)
      : bias_(settings.bias),
        channels_(shape.in),
        inner_(shape.channels_last ? 1 : InnerOf(shape)) {
    memory::desc liked;
    conv_ =
        ImagePrimitive(shape, shape.y(), shape.x(), [&](const ConvShape& part) {
          const ConvDescs descs(part);
          const auto chosen = descs.BackwardData();
          liked = chosen.weights_desc();
          return Primitive(dnnl::convolution_backward_data(chosen),
                           {{DNNL_ARG_DIFF_DST, descs.y},
                            {DNNL_ARG_WEIGHTS, liked},
                            {DNNL_ARG_DIFF_SRC, descs.x}},
                           chosen.scratchpad_desc());
        });
    weight_ = WeightReorder(ConvDescs(shape).weight, liked);
  }

  void Then(std::unique_ptr<Kernel> activation) {
    activation_ = std::move(activation);
  }

  absl::Status Run(const KernelArgs& args) override {
    char* scratch = static_cast<char*>(args.scratch);
    TAMER_ASSIGN_OR_RETURN(void* weight,
                           weight_.Run(args.inputs[1].data, scratch));
    scratch += weight_.bytes();
    const Tensor& dx = args.outputs[0];
    TAMER_RETURN_IF_ERROR(conv_.Run(args.inputs[0].floats(), weight,
                                    dx.floats(), nullptr, scratch));
    if (bias_) AddBias(args.inputs[2].floats(), dx);
    if (activation_ == nullptr) return absl::OkStatus();
    return RunUnary(*activation_, dx, dx, scratch);
  }

  int64_t scratch_bytes() const override {
    return weight_.bytes() +
           std::max(conv_.scratch_bytes(),
                    activation_ ? activation_->scratch_bytes() : 0);
  }

 private:
  static int64_t InnerOf(const ConvShape& shape) {
    int64_t inner = 1;
    for (const WindowAxis& axis : shape.axes) inner *= axis.in;
    return inner;
  }

  // x is [outer, channels, inner].
  void AddBias(const float* bias, const Tensor& x) const {
    float* data = x.floats();
    const int64_t rows = x.elements() / inner_;
    if (inner_ > 1) {
      ParallelFor(rows, 4096 / inner_ + 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          float* row = data + r * inner_;
          for (int64_t i = 0; i < inner_; ++i) row[i] += bias[r % channels_];
        }
      });
      return;
    }
    const int64_t pixels = rows / channels_;
    ParallelFor(pixels, 4096 / channels_ + 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        float* row = data + p * channels_;
        ActivatedSum(op::LINEAR, 0, row, nullptr, bias, channels_, row);
      }
    });
  }

  const bool bias_;
  const int64_t channels_, inner_;
  WeightReorder weight_;
  ImagePrimitive conv_;
  std::unique_ptr<Kernel> activation_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Kernel>> MakeConv(const ConvShape& shape,
                                                 const ConvSettings& settings) {
  const bool plain =
      settings.activation == op::LINEAR || settings.activation == op::RELU;
  if (plain && CanWinograd(shape)) return MakeWinograd(shape, settings);
  if (plain && CanTileConv(shape)) return MakeTiledConv(shape, settings);
  TAMER_ASSIGN_OR_RETURN(auto kernel, CatchDnnl("convolution", [&] {
                           return std::make_unique<ConvKernel>(shape, settings);
                         }));
  if (settings.activation == op::GELU) {
    TAMER_ASSIGN_OR_RETURN(const Shape y,
                           ShapeOf(shape.y(), shape.channels_last));
    TAMER_ASSIGN_OR_RETURN(auto gelu,
                           MakeActivation(op::GELU, 0, y.elements()));
    kernel->Then(std::move(gelu));
  }
  return kernel;
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeConvInputGradient(
    const ConvShape& shape, const ConvSettings& settings) {
  if (!settings.bias && settings.activation == op::LINEAR) {
    if (CanWinograd(shape)) return MakeWinogradInputGradient(shape);
    if (CanTileConv(shape)) return MakeTiledInputGradient(shape);
  }
  TAMER_ASSIGN_OR_RETURN(auto kernel, CatchDnnl("convolution's gradient", [&] {
                           return std::make_unique<InputGradientKernel>(
                               shape, settings);
                         }));
  if (settings.activation != op::LINEAR) {
    TAMER_ASSIGN_OR_RETURN(const Shape x,
                           ShapeOf(shape.x(), shape.channels_last));
    TAMER_ASSIGN_OR_RETURN(
        auto activation,
        MakeActivation(settings.activation, settings.slope, x.elements()));
    kernel->Then(std::move(activation));
  }
  return kernel;
}

}  // namespace tamer
