// GroupNorm: each sample's groups of channels are normalised alone.
//
// Moments and sums are made for each channel of each sample, then gathered by
// group, so that both orders of an image use the loops of channels.h.

#include <cmath>

#include "core/op/gradient.h"
#include "ops/internal/channels.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/norm.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

struct Grouping {
  // One sample's, or with channels first all samples', channels then being
  // those of every sample.
  ChannelLayout layout;
  int64_t repeats = 1;  // layouts that follow one another
  int64_t batch = 1, channels = 1, groups = 1;

  int64_t all() const { return batch * channels; }
  int64_t in_group() const { return channels / groups; }
  int64_t array_bytes() const {
    return Aligned(all() * static_cast<int64_t>(sizeof(float)));
  }
};

absl::StatusOr<Grouping> GroupingOf(const Shape& x, bool channels_last,
                                    int64_t groups) {
  TAMER_ASSIGN_OR_RETURN(const ChannelLayout all,
                         ChannelLayoutOf(x, channels_last));
  Grouping grouping;
  grouping.batch = x.dim(0);
  grouping.channels = all.channels;
  grouping.groups = groups;
  grouping.layout = all;
  if (channels_last) {
    grouping.repeats = x.dim(0);
    grouping.layout.outer = all.outer / x.dim(0);
  } else {
    grouping.layout.outer = 1;
    grouping.layout.channels = all.outer * all.channels;
  }
  return grouping;
}

// Arrays [batch, channels] in a kernel's scratch, behind that of the loops.
class Arrays {
 public:
  Arrays(const Grouping& g, void* scratch)
      : first_(static_cast<char*>(scratch) + g.layout.scratch_bytes()),
        bytes_(g.array_bytes()) {}
  float* operator[](int i) const {
    return reinterpret_cast<float*>(first_ + i * bytes_);
  }

 private:
  char* first_;
  int64_t bytes_;
};

class GroupNormKernel : public Kernel {
 public:
  GroupNormKernel(const Grouping& grouping, float epsilon)
      : g_(grouping), epsilon_(epsilon) {}

  int64_t scratch_bytes() const override {
    return g_.layout.scratch_bytes() + 4 * g_.array_bytes();
  }

  absl::Status Run(const KernelArgs& args) override {
    const float* x = args.inputs[0].floats();
    const Arrays arrays(g_, args.scratch);
    float *mean = arrays[0], *factor = arrays[1];
    float *shift = arrays[2], *variance = arrays[3];
    const int64_t n = g_.layout.elements(), step = g_.layout.channels;
    for (int64_t i = 0; i < g_.repeats; ++i) {
      ChannelMoments(g_.layout, x + i * n, args.scratch, mean + i * step,
                     variance + i * step);
    }
    for (int64_t i = 0; i < g_.batch * g_.groups; ++i) Gather(args, i, arrays);
    for (int64_t i = 0; i < g_.repeats; ++i) {
      const int64_t c = i * step;
      ChannelAffine(g_.layout, x + i * n, mean + c, factor + c, shift + c,
                    nullptr, /*relu=*/false, args.outputs[0].floats() + i * n);
    }
    return absl::OkStatus();
  }

 private:
  // From the channels' moments group `i`'s, and from these what each channel is
  // multiplied by.
  void Gather(const KernelArgs& args, int64_t i, const Arrays& arrays) const {
    const int64_t k = g_.in_group(), first = i * k;
    float *mean = arrays[0] + first, *factor = arrays[1] + first;
    float *shift = arrays[2] + first, *variance = arrays[3] + first;
    double m = 0, v = 0;
    for (int64_t c = 0; c < k; ++c) m += mean[c];
    m /= static_cast<double>(k);
    for (int64_t c = 0; c < k; ++c) {
      v += variance[c] + (mean[c] - m) * (mean[c] - m);
    }
    v /= static_cast<double>(k);
    const auto inverse = static_cast<float>(1 / std::sqrt(v + epsilon_));
    args.outputs[1].floats()[i] = static_cast<float>(m);
    args.outputs[2].floats()[i] = inverse;
    for (int64_t c = 0; c < k; ++c) {
      const int64_t channel = i % g_.groups * k + c;
      mean[c] = static_cast<float>(m);
      factor[c] = inverse * args.inputs[1].floats()[channel];
      shift[c] = args.inputs[2].floats()[channel];
    }
  }

  const Grouping g_;
  const float epsilon_;
};

class GroupNormOp : public TypedOp<op::GroupNorm> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::GroupNorm& norm = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckEpsilon(norm.epsilon()));
    TAMER_ASSIGN_OR_RETURN(
        const ChannelLayout layout,
        ChannelLayoutOf(inputs[0].shape, norm.channels_last()));
    if (norm.groups() < 1 || layout.channels % norm.groups() != 0) {
      return Invalid("groups is ", norm.groups(), "; it must divide the ",
                     layout.channels, " channels of ",
                     inputs[0].shape.ToString());
    }
    const TensorType statistics{DType::kFloat,
                                Shape({inputs[0].shape.dim(0), norm.groups()})};
    Inference result = Outputs({inputs[0], statistics, statistics});
    result.variables = {NormVariable("scale", layout.channels, 1),
                        NormVariable("shift", layout.channels, 0)};
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::GroupNormGradient gradient;
    gradient.set_channels_last(Typed(g.params()).channels_last());
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", gradient,
                                  {g.OutputGradient(0), g.Input(0), g.Output(1),
                                   g.Output(2), g.Input(1)}));
    g.SetGradient(0, dx);
    g.SetGradient(1, dx + ":1");
    g.SetGradient(2, dx + ":2");
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::GroupNorm& norm = Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(
        const Grouping grouping,
        GroupingOf(spec.inputs[0].shape, norm.channels_last(), norm.groups()));
    return std::make_unique<GroupNormKernel>(grouping, norm.epsilon());
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

class GroupNormGradientKernel : public Kernel {
 public:
  explicit GroupNormGradientKernel(const Grouping& grouping) : g_(grouping) {}

  int64_t scratch_bytes() const override {
    return g_.layout.scratch_bytes() + 6 * g_.array_bytes();
  }

  absl::Status Run(const KernelArgs& args) override {
    const float* dy = args.inputs[0].floats();
    const float* x = args.inputs[1].floats();
    const Arrays arrays(g_, args.scratch);
    float *mean = arrays[0], *sum = arrays[1], *moment = arrays[2];
    float *a = arrays[3], *b = arrays[4], *d = arrays[5];
    const int64_t n = g_.layout.elements(), step = g_.layout.channels;
    for (int64_t i = 0; i < g_.all(); ++i) {
      mean[i] = args.inputs[2].floats()[i / g_.in_group()];
    }
    for (int64_t i = 0; i < g_.repeats; ++i) {
      const int64_t c = i * step;
      ChannelSums(g_.layout, dy + i * n, nullptr, x + i * n, mean + c,
                  args.scratch, sum + c, moment + c);
    }
    for (int64_t i = 0; i < g_.batch * g_.groups; ++i) Gather(args, i, arrays);
    for (int64_t c = 0; c < g_.channels; ++c) AddSamples(args, c, arrays);
    for (int64_t i = 0; i < g_.repeats; ++i) {
      const int64_t c = i * step;
      ChannelGradient(g_.layout, dy + i * n, nullptr, x + i * n, mean + c,
                      a + c, b + c, d + c, args.outputs[0].floats() + i * n,
                      nullptr);
    }
    return absl::OkStatus();
  }

 private:
  // The coefficients of group `i`'s channels.
  void Gather(const KernelArgs& args, int64_t i, const Arrays& arrays) const {
    const int64_t k = g_.in_group(), first = i * k;
    const float* scale = args.inputs[4].floats() + i % g_.groups * k;
    const double inverse = args.inputs[3].floats()[i];
    double along = 0, across = 0;
    for (int64_t c = 0; c < k; ++c) {
      along += double{scale[c]} * arrays[1][first + c];
      across += double{scale[c]} * arrays[2][first + c];
    }
    const double count =
        static_cast<double>(g_.layout.elements() * g_.repeats) /
        static_cast<double>(g_.batch * g_.groups);
    for (int64_t c = 0; c < k; ++c) {
      arrays[3][first + c] = static_cast<float>(scale[c] * inverse);
      arrays[4][first + c] =
          static_cast<float>(-inverse * inverse * inverse * across / count);
      arrays[5][first + c] = static_cast<float>(-inverse * along / count);
    }
  }

  // Channel c's gradients of scale and shift.
  void AddSamples(const KernelArgs& args, int64_t c,
                  const Arrays& arrays) const {
    double dscale = 0, dshift = 0;
    for (int64_t b = 0; b < g_.batch; ++b) {
      const int64_t i = b * g_.channels + c;
      dshift += arrays[1][i];
      dscale +=
          double{arrays[2][i]} * args.inputs[3].floats()[i / g_.in_group()];
    }
    args.outputs[1].floats()[c] = static_cast<float>(dscale);
    args.outputs[2].floats()[c] = static_cast<float>(dshift);
  }

  const Grouping g_;
};

class GroupNormGradientOp : public TypedOp<op::GroupNormGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 5, "dy, x, mean, inverse, scale"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(2, 2)));
    TAMER_ASSIGN_OR_RETURN(
        const ChannelLayout layout,
        ChannelLayoutOf(inputs[0].shape, Typed(params).channels_last()));
    const Shape& mean = inputs[2].shape;
    if (mean.rank() != 2 || mean.dim(0) != inputs[0].shape.dim(0) ||
        mean.dim(1) < 1 || layout.channels % mean.dim(1) != 0) {
      return Invalid("mean must be [B, groups], groups dividing the ",
                     layout.channels, " channels, but is ", mean.ToString());
    }
    const TensorType scale{DType::kFloat, Shape({layout.channels})};
    TAMER_RETURN_IF_ERROR(CheckShape(inputs, 4, "scale", scale.shape));
    return Outputs({inputs[0], scale, scale});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(
        const Grouping grouping,
        GroupingOf(spec.inputs[0].shape, Typed(*spec.params).channels_last(),
                   spec.inputs[2].shape.dim(1)));
    return std::make_unique<GroupNormGradientKernel>(grouping);
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

}  // namespace

TAMER_OP_FAMILY(group_norm, GroupNormOp, GroupNormGradientOp)

}  // namespace tamer
