// Reduce and BroadcastLike, and the nodes that only hold a tensor.

#include <algorithm>
#include <cmath>

#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// Which dimensions of a shape of `rank` are reduced; all if none is named.
template <typename Axes>
absl::StatusOr<std::vector<bool>> ReducedDims(const Axes& axes, int rank) {
  std::vector<bool> reduced(rank, axes.empty());
  for (int32_t named : axes) {
    TAMER_ASSIGN_OR_RETURN(const int axis, CheckAxis(named, rank));
    if (reduced[axis]) return Invalid("axis ", named, " is named twice");
    reduced[axis] = true;
  }
  return reduced;
}

Shape KeptShape(const Shape& shape, const std::vector<bool>& reduced) {
  Shape kept;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!reduced[i]) kept.push_back(shape.dim(i));
  }
  return kept;
}

// For each element of the full shape in order, the element of the kept shape
// that it belongs to, called as body(full, kept).
template <typename Body>
void ForEachElement(const Shape& shape, const std::vector<bool>& reduced,
                    const Body& body) {
  const int rank = shape.rank();
  std::vector<int64_t> index(rank, 0), stride(rank, 0);
  int64_t step = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (reduced[i]) continue;
    stride[i] = step;
    step *= shape.dim(i);
  }
  int64_t kept = 0;
  for (int64_t full = 0; full < shape.elements(); ++full) {
    body(full, kept);
    for (int i = rank - 1; i >= 0; --i) {
      kept += stride[i];
      if (++index[i] < shape.dim(i)) break;
      kept -= stride[i] * shape.dim(i);
      index[i] = 0;
    }
  }
}

float MeanFactor(bool mean, int64_t full, int64_t kept) {
  return mean ? static_cast<float>(kept) / static_cast<float>(full) : 1.0f;
}

class ReduceOp : public TypedOp<op::Reduce> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(
        const auto reduced,
        ReducedDims(Typed(params).axis(), inputs[0].shape.rank()));
    return Outputs({{DType::kFloat, KeptShape(inputs[0].shape, reduced)}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::BroadcastLike spread;
    spread.set_kind(Typed(g.params()).kind());
    *spread.mutable_axis() = Typed(g.params()).axis();
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", spread, {g.OutputGradient(0), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape shape = spec.inputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(
        const auto reduced,
        ReducedDims(Typed(*spec.params).axis(), shape.rank()));
    const int64_t n = shape.elements();
    const int64_t kept = spec.outputs[0].shape.elements();
    const float factor =
        MeanFactor(Typed(*spec.params).kind() == op::Reduce::MEAN, n, kept);
    // Leading dimensions, the commonest case, are the rows of a matrix.
    const bool leading = std::is_sorted(reduced.rbegin(), reduced.rend());
    if (leading && kept > 1) {
      return MakeKernel([n, kept, factor](const KernelArgs& args) {
        SumRows(args.inputs[0].floats(), n / kept, kept, factor,
                args.outputs[0].floats());
        return absl::OkStatus();
      });
    }
    if (kept == 1) {
      return MakeKernel(
          [n, factor](const KernelArgs& args) {
            args.outputs[0].floats()[0] = static_cast<float>(
                Sum(args.inputs[0].floats(), n, args.scratch) * factor);
            return absl::OkStatus();
          },
          SumScratchBytes(n));
    }
    // The order of elements is decided now; a step only adds.
    std::vector<int32_t> target(n);
    ForEachElement(shape, reduced, [&](int64_t full, int64_t at) {
      target[full] = static_cast<int32_t>(at);
    });
    return MakeKernel([target, kept, factor](const KernelArgs& args) {
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      std::fill(y, y + kept, 0.0f);
      for (size_t i = 0; i < target.size(); ++i) y[target[i]] += x[i];
      for (int64_t i = 0; i < kept; ++i) y[i] *= factor;
      return absl::OkStatus();
    });
  }

  // Sums for each channel have no order of images.
  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int rank) const override {
    const auto reduced = ReducedDims(Typed(params).axis(), rank);
    if (!reduced.ok()) return nullptr;
    for (int i = 0; i < rank; ++i) {
      if ((*reduced)[i] == (i == 1)) return nullptr;
    }
    auto copy = std::make_unique<op::Reduce>(Typed(params));
    copy->clear_axis();
    for (int i = 0; i + 1 < rank; ++i) copy->add_axis(i);
    return copy;
  }
};

class BroadcastLikeOp : public TypedOp<op::BroadcastLike> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, like"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(
        const auto reduced,
        ReducedDims(Typed(params).axis(), inputs[1].shape.rank()));
    if (KeptShape(inputs[1].shape, reduced) != inputs[0].shape) {
      return Invalid("cannot spread ", inputs[0].shape.ToString(), " over ",
                     inputs[1].shape.ToString());
    }
    return Outputs({inputs[1]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::Reduce reduce;
    reduce.set_kind(Typed(g.params()).kind());
    *reduce.mutable_axis() = Typed(g.params()).axis();
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", reduce, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape shape = spec.outputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(
        const auto reduced,
        ReducedDims(Typed(*spec.params).axis(), shape.rank()));
    const float factor =
        MeanFactor(Typed(*spec.params).kind() == op::Reduce::MEAN,
                   shape.elements(), spec.inputs[0].shape.elements());
    std::vector<int32_t> source(shape.elements());
    ForEachElement(shape, reduced, [&](int64_t full, int64_t at) {
      source[full] = static_cast<int32_t>(at);
    });
    return MakeKernel([source, factor](const KernelArgs& args) {
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      for (size_t i = 0; i < source.size(); ++i) y[i] = x[source[i]] * factor;
      return absl::OkStatus();
    });
  }
};

absl::StatusOr<Shape> CheckFixedShape(
    const google::protobuf::RepeatedField<int64_t>& dims) {
  Shape shape;
  int64_t elements = 1;
  for (int64_t dim : dims) {
    if (dim < 1 || __builtin_mul_overflow(elements, dim, &elements) ||
        elements > (int64_t{1} << 36)) {
      return Invalid("shape has the dimension ", dim,
                     "; each must be at least 1, and all not too large");
    }
    shape.push_back(dim);
  }
  return shape;
}

absl::StatusOr<std::unique_ptr<Kernel>> NothingToRun() {
  return MakeKernel([](const KernelArgs&) { return absl::OkStatus(); });
}

class ParameterOp : public TypedOp<op::Parameter> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Parameter& parameter = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 0, "none"));
    VariableSpec spec;
    TAMER_ASSIGN_OR_RETURN(spec.type.shape, CheckFixedShape(parameter.shape()));
    spec.initializer = parameter.init();
    if (!parameter.has_init()) spec.initializer.mutable_zero();
    spec.trainable = parameter.trainable();
    spec.decay = parameter.decay();
    Inference inference;
    inference.variables.push_back(spec);
    return inference;
  }

  absl::Status Gradient(GradientBuilder&) const override {
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return NothingToRun();
  }
};

class ConstantOp : public TypedOp<op::Constant> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 0, "none"));
    TensorType type;
    TAMER_ASSIGN_OR_RETURN(type.shape, CheckFixedShape(Typed(params).shape()));
    return Outputs({type});
  }

  absl::Status Gradient(GradientBuilder&) const override {
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(),
         value = Typed(*spec.params).value()](const KernelArgs& args) {
          std::fill_n(args.outputs[0].floats(), n, value);
          return absl::OkStatus();
        });
  }
};

}  // namespace

TAMER_OP_FAMILY(reduce, ReduceOp, BroadcastLikeOp, ParameterOp, ConstantOp)

}  // namespace tamer
