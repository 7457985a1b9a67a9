// Pooling: windows are reduced to their largest value or their mean.

#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/pooling.h"
#include "proto/ops/pool.pb.h"

namespace tamer {
namespace {

using Axes = absl::StatusOr<std::vector<PoolAxis>>;

// The windows of an op on an image of these spatial dimensions.

template <typename Params>
Axes SlidingAxes(const Params& params, const ImageDims& image,
                 bool count_include_pad) {
  WindowParams window;
  window.kernel = ToVector(params.kernel());
  window.stride =
      params.stride().empty() ? window.kernel : ToVector(params.stride());
  window.pad = ToVector(params.pad());
  window.padding = params.padding();
  TAMER_ASSIGN_OR_RETURN(const auto windows,
                         SlideWindow(window, image.spatial));
  ImageDims smaller = image;
  for (int i = 0; i < image.rank(); ++i) smaller.spatial[i] = windows[i].out;
  // Before memory is taken for what may be too large.
  TAMER_RETURN_IF_ERROR(ShapeOf(smaller, false).status());
  std::vector<PoolAxis> axes;
  for (const WindowAxis& axis : windows) {
    axes.push_back(Sliding(axis, count_include_pad));
  }
  return axes;
}

template <typename Params>
Axes AdaptiveAxes(const Params& params, const ImageDims& image) {
  ImageDims smaller = image;
  TAMER_ASSIGN_OR_RETURN(
      smaller.spatial,
      PerDimension("size", ToVector(params.size()), image.rank(), 1));
  TAMER_RETURN_IF_ERROR(ShapeOf(smaller, false).status());
  std::vector<PoolAxis> axes;
  for (int i = 0; i < image.rank(); ++i) {
    axes.push_back(Adaptive(image.spatial[i], smaller.spatial[i]));
  }
  return axes;
}

// For an op with windows that slide, that fit a size, or with a single one.
template <typename Params>
Axes AxesOf(const Params& params, const ImageDims& image) {
  if constexpr (std::is_same_v<Params, op::GlobalAveragePool>) {
    // Over all elements, which need no dimensions for it.
    int64_t elements = 1;
    for (int64_t size : image.spatial) elements *= size;
    return std::vector<PoolAxis>{Adaptive(elements, 1)};
  } else if constexpr (std::is_same_v<Params, op::MaxPool>) {
    return SlidingAxes(params, image, false);
  } else if constexpr (std::is_same_v<Params, op::AveragePool>) {
    return SlidingAxes(params, image, params.count_include_pad());
  } else {
    return AdaptiveAxes(params, image);
  }
}

template <typename Params>
constexpr bool kIsMax = std::is_same_v<Params, op::MaxPool> ||
                        std::is_same_v<Params, op::AdaptiveMaxPool>;
template <typename Params>
constexpr bool kIsGlobal = std::is_same_v<Params, op::GlobalAveragePool>;

// What pooling makes of an image: its windows and the smaller tensor's shape.
struct Pooled {
  PoolGeometry geometry;
  Shape shape;
};

template <typename Params>
absl::StatusOr<Pooled> Pool(const Params& params, const ImageDims& image,
                            bool last) {
  TAMER_ASSIGN_OR_RETURN(const auto axes, AxesOf(params, image));
  Pooled pooled;
  pooled.geometry = MakeGeometry(image, last, axes);
  if constexpr (kIsGlobal<Params>) {
    pooled.shape = Shape({image.batch, image.channels});
    return pooled;
  }
  ImageDims smaller = image;
  for (int i = 0; i < image.rank(); ++i) smaller.spatial[i] = axes[i].out;
  TAMER_ASSIGN_OR_RETURN(pooled.shape, ShapeOf(smaller, last));
  return pooled;
}

DType IndexType(const PoolGeometry& geometry) {
  return geometry.small() ? DType::kUint8 : DType::kInt32;
}

void SetOf(const op::MaxPool& p, op::PoolGradient* g) { *g->mutable_max() = p; }
void SetOf(const op::AveragePool& p, op::PoolGradient* g) {
  *g->mutable_average() = p;
}
void SetOf(const op::GlobalAveragePool& p, op::PoolGradient* g) {
  *g->mutable_global_average() = p;
}
void SetOf(const op::AdaptiveMaxPool& p, op::PoolGradient* g) {
  *g->mutable_adaptive_max() = p;
}
void SetOf(const op::AdaptiveAveragePool& p, op::PoolGradient* g) {
  *g->mutable_adaptive_average() = p;
}

template <typename Params>
class PoolOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const Params& pool = this->Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                           ImageOf(inputs[0].shape, pool.channels_last()));
    TAMER_ASSIGN_OR_RETURN(const Pooled pooled,
                           Pool(pool, image, pool.channels_last()));
    Inference result = Outputs({{DType::kFloat, pooled.shape}});
    if constexpr (kIsMax<Params>) {
      if (pool.indices()) {
        result.outputs.push_back({IndexType(pooled.geometry), pooled.shape});
      }
    }
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const Params& pool = this->Typed(g.params());
    op::PoolGradient gradient;
    SetOf(pool, &gradient);
    TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                           ImageOf(g.InputType(0).shape, pool.channels_last()));
    for (int64_t size : image.spatial) gradient.add_size(size);
    gradient.set_channels_last(pool.channels_last());
    std::vector<std::string> inputs = {g.OutputGradient(0)};
    if constexpr (kIsMax<Params>) {
      if (!pool.indices()) {
        return absl::UnimplementedError(
            "without indices it has no gradient; leave `indices` at true");
      }
      inputs.push_back(g.Output(1));
    }
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", gradient, inputs));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Params& pool = this->Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                           ImageOf(spec.inputs[0].shape, pool.channels_last()));
    TAMER_ASSIGN_OR_RETURN(Pooled pooled,
                           Pool(pool, image, pool.channels_last()));
    if constexpr (kIsMax<Params>) {
      return MakeMaxPool(std::move(pooled.geometry), pool.indices());
    } else {
      return MakeAveragePool(std::move(pooled.geometry));
    }
  }

  std::unique_ptr<OpParams> AtInference(const OpParams& params) const override {
    if constexpr (kIsMax<Params>) {
      auto copy = std::make_unique<Params>(this->Typed(params));
      copy->set_indices(false);
      return copy;
    }
    return nullptr;
  }
};

// Calls `visit` with the parameters of the op whose gradient this is.
template <typename Visit>
auto VisitOf(const op::PoolGradient& gradient, const Visit& visit)
    -> decltype(visit(gradient.max())) {
  switch (gradient.of_case()) {
    case op::PoolGradient::kMax:
      return visit(gradient.max());
    case op::PoolGradient::kAverage:
      return visit(gradient.average());
    case op::PoolGradient::kGlobalAverage:
      return visit(gradient.global_average());
    case op::PoolGradient::kAdaptiveMax:
      return visit(gradient.adaptive_max());
    case op::PoolGradient::kAdaptiveAverage:
      return visit(gradient.adaptive_average());
    case op::PoolGradient::OF_NOT_SET:
      break;
  }
  return Invalid("it must say of which pooling op it is the gradient");
}

class PoolGradientOp : public TypedOp<op::PoolGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    return VisitOf(Typed(params), [&](const auto& pool) {
      return InferOf(pool, Typed(params), inputs);
    });
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return VisitOf(
        Typed(*spec.params),
        [&](const auto& pool) -> absl::StatusOr<std::unique_ptr<Kernel>> {
          const bool last = Typed(*spec.params).channels_last();
          TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                                 ImageOf(spec.outputs[0].shape, last));
          TAMER_ASSIGN_OR_RETURN(Pooled pooled, Pool(pool, image, last));
          if constexpr (kIsMax<std::decay_t<decltype(pool)>>) {
            return MakeMaxPoolGradient(std::move(pooled.geometry));
          } else {
            return MakeAveragePoolGradient(std::move(pooled.geometry));
          }
        });
  }

 private:
  // What was pooled, from the gradient at the result.
  template <typename Params>
  static absl::StatusOr<ImageDims> PooledImage(const op::PoolGradient& gradient,
                                               const Shape& dy) {
    ImageDims image;
    if (kIsGlobal<Params>) {
      if (dy.rank() != 2) {
        return Invalid("dy must be [B, channels], but is ", dy.ToString());
      }
      image.batch = dy.dim(0);
      image.channels = dy.dim(1);
    } else {
      TAMER_ASSIGN_OR_RETURN(image, ImageOf(dy, gradient.channels_last()));
    }
    image.spatial = ToVector(gradient.size());
    return image;
  }

  template <typename Params>
  static absl::StatusOr<Inference> InferOf(const Params& pool,
                                           const op::PoolGradient& gradient,
                                           Types inputs) {
    const bool last = gradient.channels_last();
    TAMER_RETURN_IF_ERROR(kIsMax<Params> ? CheckCount(inputs, 2, "dy, indices")
                                         : CheckCount(inputs, 1, "dy"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
    TAMER_ASSIGN_OR_RETURN(const ImageDims image,
                           PooledImage<Params>(gradient, inputs[0].shape));
    TAMER_ASSIGN_OR_RETURN(const Shape dx, ShapeOf(image, last));
    // Checks `size` too.
    TAMER_RETURN_IF_ERROR(ImageOf(dx, last).status());
    TAMER_ASSIGN_OR_RETURN(const Pooled pooled, Pool(pool, image, last));
    const TensorType dy{DType::kFloat, pooled.shape};
    if (inputs[0] != dy) {
      return Invalid("dy must be ", dy.ToString(), ", but is ",
                     inputs[0].ToString());
    }
    const TensorType indices{IndexType(pooled.geometry), pooled.shape};
    if (kIsMax<Params> && inputs[1] != indices) {
      return Invalid("indices must be ", indices.ToString(), ", but are ",
                     inputs[1].ToString());
    }
    return Outputs({{DType::kFloat, dx}});
  }
};

using MaxPoolOp = PoolOp<op::MaxPool>;
using AveragePoolOp = PoolOp<op::AveragePool>;
using GlobalAveragePoolOp = PoolOp<op::GlobalAveragePool>;
using AdaptiveMaxPoolOp = PoolOp<op::AdaptiveMaxPool>;
using AdaptiveAveragePoolOp = PoolOp<op::AdaptiveAveragePool>;

}  // namespace

TAMER_OP_FAMILY(pool, MaxPoolOp, AveragePoolOp, GlobalAveragePoolOp,
                AdaptiveMaxPoolOp, AdaptiveAveragePoolOp, PoolGradientOp)

}  // namespace tamer
