// What gradients of convolutions are made of. The weight is an input.

#include "ops/internal/checks.h"
#include "ops/internal/conv.h"
#include "ops/internal/family.h"

namespace tamer {
namespace {

// An image of these spatial dimensions, or an error that calls it `what`.
absl::StatusOr<ImageDims> ExpectImage(const char* what, const TensorType& type,
                                      const ImageDims& expected, bool last) {
  TAMER_ASSIGN_OR_RETURN(const ImageDims seen, ImageOf(type.shape, last));
  if (seen.spatial == expected.spatial) return seen;
  ImageDims like = expected;
  like.batch = seen.batch;
  like.channels = seen.channels;
  TAMER_ASSIGN_OR_RETURN(const Shape shape, ShapeOf(like, last));
  return Invalid(what, " must be ", shape.ToString(),
                 " by the geometry, but is ", type.shape.ToString());
}

// Of image and weight: `forward` if the image is the convolution's input.
template <typename Params>
absl::StatusOr<ConvShape> ShapeWithWeight(const Params& params, Types inputs,
                                          bool forward) {
  TAMER_RETURN_IF_ERROR(
      CheckCount(inputs, 2, forward ? "x, weight" : "dy, weight"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  ConvShape shape;
  shape.channels_last = params.channels_last();
  shape.groups = params.geometry().groups();
  TAMER_ASSIGN_OR_RETURN(shape.axes, AxesOf(params.geometry()));
  const Shape& weight = inputs[1].shape;
  if (weight.rank() < 3 || weight.batched()) {
    return Invalid("the weight must be [out, in / groups, kernel], but is ",
                   weight.ToString());
  }
  shape.out = weight.dim(0);
  if (shape.groups < 1 ||
      __builtin_mul_overflow(weight.dim(1), shape.groups, &shape.in)) {
    return Invalid("groups is ", shape.groups, "; it must be 1 or more");
  }
  TAMER_RETURN_IF_ERROR(CheckChannels(shape, "the number of channels",
                                      "the weight's first size"));
  if (weight != shape.weight()) {
    return Invalid("the weight must be ", shape.weight().ToString(),
                   " by the geometry, but is ", weight.ToString());
  }
  const ImageDims expected = forward ? shape.x() : shape.y();
  TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                         ExpectImage(forward ? "x" : "dy", inputs[0], expected,
                                     shape.channels_last));
  if (image.channels != expected.channels) {
    return Invalid("the image ", inputs[0].shape.ToString(), " has ",
                   image.channels, " channels, but the weight is for ",
                   expected.channels);
  }
  shape.batch = image.batch;
  return shape;
}

class ConvolutionOp : public TypedOp<op::Convolution> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape,
                           ShapeWithWeight(Typed(params), inputs, true));
    TAMER_ASSIGN_OR_RETURN(const Shape y,
                           ShapeOf(shape.y(), shape.channels_last));
    return Outputs({{DType::kFloat, y}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(
        const ConvShape shape,
        ShapeWithWeight(Typed(*spec.params), spec.inputs, true));
    return MakeConv(shape, {});
  }

  bool PrefersChannelsLast(const OpParams&) const override { return true; }

  double Flops(const KernelSpec& spec) const override {
    const auto shape = ShapeWithWeight(Typed(*spec.params), spec.inputs, true);
    return shape.ok() ? shape->flops() : 0;
  }
};

class ConvolutionInputGradientOp
    : public TypedOp<op::ConvolutionInputGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape,
                           ShapeWithWeight(Typed(params), inputs, false));
    TAMER_ASSIGN_OR_RETURN(const Shape x,
                           ShapeOf(shape.x(), shape.channels_last));
    return Outputs({{DType::kFloat, x}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(
        const ConvShape shape,
        ShapeWithWeight(Typed(*spec.params), spec.inputs, false));
    return MakeConvInputGradient(shape, {});
  }

  bool PrefersChannelsLast(const OpParams&) const override { return true; }

  double Flops(const KernelSpec& spec) const override {
    const auto shape = ShapeWithWeight(Typed(*spec.params), spec.inputs, false);
    return shape.ok() ? shape->flops() : 0;
  }
};

class ConvolutionWeightGradientOp
    : public TypedOp<op::ConvolutionWeightGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape,
                           ShapeFor(Typed(params), inputs));
    Inference result = Outputs({{DType::kFloat, shape.weight()}});
    if (Typed(params).bias()) {
      result.outputs.push_back({DType::kFloat, Shape({shape.out})});
    }
    return result;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(const ConvShape shape,
                           ShapeFor(Typed(*spec.params), spec.inputs));
    return MakeConvWeightGradient(shape, Typed(*spec.params).bias());
  }

  bool PrefersChannelsLast(const OpParams&) const override { return true; }

  double Flops(const KernelSpec& spec) const override {
    const auto shape = ShapeFor(Typed(*spec.params), spec.inputs);
    return shape.ok() ? shape->flops() : 0;
  }

 private:
  static absl::StatusOr<ConvShape> ShapeFor(
      const op::ConvolutionWeightGradient& params, Types inputs) {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, dy"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    ConvShape shape;
    shape.channels_last = params.channels_last();
    shape.groups = params.geometry().groups();
    TAMER_ASSIGN_OR_RETURN(shape.axes, AxesOf(params.geometry()));
    TAMER_ASSIGN_OR_RETURN(
        const ImageDims x,
        ExpectImage("x", inputs[0], shape.x(), shape.channels_last));
    TAMER_ASSIGN_OR_RETURN(
        const ImageDims y,
        ExpectImage("dy", inputs[1], shape.y(), shape.channels_last));
    if (x.batch != y.batch) {
      return Invalid("x ", inputs[0].shape.ToString(), " and dy ",
                     inputs[1].shape.ToString(), " differ in the batch");
    }
    shape.batch = x.batch;
    shape.in = x.channels;
    shape.out = y.channels;
    TAMER_RETURN_IF_ERROR(CheckChannels(shape, "x's number of channels",
                                        "dy's number of channels"));
    return shape;
  }
};

}  // namespace

TAMER_OP_FAMILY(conv_gradient, ConvolutionOp, ConvolutionInputGradientOp,
                ConvolutionWeightGradientOp)

}  // namespace tamer
