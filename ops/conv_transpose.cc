// ConvTranspose2D: a convolution's gradient at its input, as a layer.

#include "ops/internal/conv_layer.h"
#include "ops/internal/family.h"

namespace tamer {
namespace {

class ConvTranspose2DOp : public TypedOp<op::ConvTranspose2D> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::ConvTranspose2D& conv = Typed(params);
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape, ShapeFor(conv, inputs));
    if (conv.activation() == op::GELU) {
      return Invalid("activation is GELU; use op/Gelu after it");
    }
    TAMER_ASSIGN_OR_RETURN(const Shape y,
                           ShapeOf(shape.x(), shape.channels_last));
    Inference result = Outputs({{DType::kFloat, y}});
    const double filter = static_cast<double>(shape.weight().elements()) /
                          static_cast<double>(shape.out);
    TAMER_ASSIGN_OR_RETURN(
        result.variables,
        ConvVariables(conv, shape.weight(),
                      filter * static_cast<double>(shape.out) /
                          static_cast<double>(shape.in),
                      filter));
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const op::ConvTranspose2D& conv = Typed(g.params());
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape,
                           ShapeFor(conv, {g.InputType(0)}));
    TAMER_ASSIGN_OR_RETURN(
        const std::string dz,
        EmitBeforeActivation(g, conv.activation(), conv.slope()));
    if (g.Wanted(0)) {
      op::Convolution forward;
      *forward.mutable_geometry() = GeometryOf(shape);
      forward.set_channels_last(shape.channels_last);
      TAMER_ASSIGN_OR_RETURN(const std::string dx,
                             g.Emit("input", forward, {dz, g.Input(1)}));
      g.SetGradient(0, dx);
    }
    if (g.Wanted(1)) {
      op::ConvolutionWeightGradient product;
      *product.mutable_geometry() = GeometryOf(shape);
      product.set_channels_last(shape.channels_last);
      TAMER_ASSIGN_OR_RETURN(const std::string dw,
                             g.Emit("weight", product, {dz, g.Input(0)}));
      g.SetGradient(1, dw);
    }
    return SetChannelSum(g, 2, dz, shape.channels_last);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::ConvTranspose2D& conv = Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(
        const ConvShape shape,
        ShapeFor(conv, absl::MakeConstSpan(spec.inputs).subspan(0, 1)));
    return MakeConvInputGradient(shape, SettingsOf(conv));
  }

  bool PrefersChannelsLast(const OpParams&) const override { return true; }

  double Flops(const KernelSpec& spec) const override {
    const auto shape = ShapeFor(Typed(*spec.params),
                                absl::MakeConstSpan(spec.inputs).subspan(0, 1));
    return shape.ok() ? shape->flops() : 0;
  }

 private:
  // Of the convolution whose transpose this is: x is its output, y its input.
  static absl::StatusOr<ConvShape> ShapeFor(const op::ConvTranspose2D& conv,
                                            Types inputs) {
    ConvShape shape;
    shape.channels_last = conv.channels_last();
    TAMER_ASSIGN_OR_RETURN(const ImageDims x,
                           CheckImage(inputs, 2, shape.channels_last));
    shape.batch = x.batch;
    shape.in = conv.filters();
    shape.out = x.channels;
    shape.groups = conv.groups();
    TAMER_ASSIGN_OR_RETURN(const std::vector<int64_t> size,
                           SizeOfY(conv, x.spatial));
    TAMER_ASSIGN_OR_RETURN(shape.axes, SlideWindow(WindowOf(conv), size));
    for (size_t i = 0; i < shape.axes.size(); ++i) {
      if (shape.axes[i].out != x.spatial[i]) {
        return Invalid("no output of a size fits the input ",
                       inputs[0].shape.ToString());
      }
    }
    TAMER_RETURN_IF_ERROR(
        CheckChannels(shape, "filters", "the input's number of channels"));
    return shape;
  }

  static absl::StatusOr<std::vector<int64_t>> SizeOfY(
      const op::ConvTranspose2D& conv, const std::vector<int64_t>& size) {
    constexpr int64_t kMost = int64_t{1} << 24;
    TAMER_ASSIGN_OR_RETURN(const std::vector<WindowAxis> axes,
                           SlideWindow(WindowOf(conv), {kMost, kMost}));
    std::vector<int64_t> extra = ToVector(conv.output_pad());
    if (extra.empty()) extra.push_back(0);
    TAMER_ASSIGN_OR_RETURN(extra, PerDimension("output_pad", extra, 2, 0));
    std::vector<int64_t> y(2);
    for (int i = 0; i < 2; ++i) {
      const WindowAxis& axis = axes[i];
      const bool same = conv.padding() == op::SAME;
      if (extra[i] >= axis.stride || (same && extra[i] > 0)) {
        return Invalid("output_pad is ", extra[i], "; it must be less than ",
                       "stride, ", axis.stride, ", and 0 with padding: SAME");
      }
      y[i] = same ? size[i] * axis.stride
                  : (size[i] - 1) * axis.stride +
                        (axis.kernel - 1) * axis.dilation + 1 - axis.before -
                        axis.after + extra[i];
      if (y[i] < 1 || y[i] > kMost) {
        return Invalid("the output would be ", y[i], " long along a ",
                       "dimension; it must be 1 to ", kMost);
      }
    }
    return y;
  }
};

}  // namespace

TAMER_OP_FAMILY(conv_transpose, ConvTranspose2DOp)

}  // namespace tamer
