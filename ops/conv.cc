// Conv1D, Conv2D and Conv3D.

#include "ops/internal/conv_layer.h"
#include "ops/internal/family.h"

namespace tamer {
namespace {

template <typename Params, int kSpatial>
class ConvOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const Params& conv = this->Typed(params);
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape, ShapeFor(conv, inputs));
    TAMER_ASSIGN_OR_RETURN(const Shape y,
                           ShapeOf(shape.y(), shape.channels_last));
    Inference result = Outputs({{DType::kFloat, y}});
    if (conv.activation() == op::GELU) {
      result.outputs.push_back(result.outputs[0]);
    }
    const double filter = static_cast<double>(shape.weight().elements()) /
                          static_cast<double>(shape.out);
    TAMER_ASSIGN_OR_RETURN(
        result.variables,
        ConvVariables(conv, shape.weight(), filter,
                      filter * static_cast<double>(shape.out) /
                          static_cast<double>(shape.in)));
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const Params& conv = this->Typed(g.params());
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape,
                           ShapeFor(conv, {g.InputType(0)}));
    TAMER_ASSIGN_OR_RETURN(
        const std::string dz,
        EmitBeforeActivation(g, conv.activation(), conv.slope()));
    if (g.Wanted(0)) {
      op::ConvolutionInputGradient back;
      *back.mutable_geometry() = GeometryOf(shape);
      back.set_channels_last(shape.channels_last);
      TAMER_ASSIGN_OR_RETURN(const std::string dx,
                             g.Emit("input", back, {dz, g.Input(1)}));
      g.SetGradient(0, dx);
    }
    if (!g.Wanted(1)) return SetChannelSum(g, 2, dz, shape.channels_last);
    op::ConvolutionWeightGradient product;
    *product.mutable_geometry() = GeometryOf(shape);
    product.set_channels_last(shape.channels_last);
    const bool bias = g.num_inputs() > 2 && g.Wanted(2);
    product.set_bias(bias);
    TAMER_ASSIGN_OR_RETURN(const std::string dw,
                           g.Emit("weight", product, {g.Input(0), dz}));
    g.SetGradient(1, dw);
    if (bias) g.SetGradient(2, absl::StrCat(dw, ":1"));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Params& conv = this->Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(
        const ConvShape shape,
        ShapeFor(conv, absl::MakeConstSpan(spec.inputs).subspan(0, 1)));
    return MakeConv(shape, SettingsOf(conv));
  }

  bool PrefersChannelsLast(const OpParams&) const override { return true; }

  double Flops(const KernelSpec& spec) const override {
    const auto shape = ShapeFor(this->Typed(*spec.params),
                                absl::MakeConstSpan(spec.inputs).subspan(0, 1));
    return shape.ok() ? shape->flops() : 0;
  }

 private:
  static absl::StatusOr<ConvShape> ShapeFor(const Params& conv, Types inputs) {
    ConvShape shape;
    shape.channels_last = conv.channels_last();
    TAMER_ASSIGN_OR_RETURN(const ImageDims x,
                           CheckImage(inputs, kSpatial, shape.channels_last));
    TAMER_ASSIGN_OR_RETURN(shape.axes, SlideWindow(WindowOf(conv), x.spatial));
    shape.batch = x.batch;
    shape.in = x.channels;
    shape.out = conv.filters();
    shape.groups = conv.groups();
    TAMER_RETURN_IF_ERROR(
        CheckChannels(shape, "the input's number of channels", "filters"));
    return shape;
  }
};

using Conv1DOp = ConvOp<op::Conv1D, 1>;
using Conv2DOp = ConvOp<op::Conv2D, 2>;
using Conv3DOp = ConvOp<op::Conv3D, 3>;

}  // namespace

TAMER_OP_FAMILY(conv, Conv1DOp, Conv2DOp, Conv3DOp)

}  // namespace tamer
