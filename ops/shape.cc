// Concat, Split and the reshapes: copies, or nothing where memory can be
// shared.

#include <cstring>

#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// A tensor seen as [outer, axis * inner] bytes.
struct Blocks {
  int64_t outer = 1;
  int64_t bytes = 1;
};

Blocks BlocksOf(const TensorType& type, int axis) {
  Blocks blocks;
  blocks.bytes = SizeOf(type.dtype);
  for (int i = 0; i < type.shape.rank(); ++i) {
    (i < axis ? blocks.outer : blocks.bytes) *= type.shape.dim(i);
  }
  return blocks;
}

class ConcatOp : public TypedOp<op::Concat> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    if (inputs.empty()) return Invalid("takes one input or more, not 0");
    TensorType result = inputs[0];
    TAMER_ASSIGN_OR_RETURN(
        const int axis, CheckAxis(Typed(params).axis(), result.shape.rank()));
    int64_t size = 0;
    for (const TensorType& input : inputs) {
      TensorType expected = inputs[0];
      if (input.shape.rank() == result.shape.rank()) {
        expected.shape.set_dim(axis, input.shape.dim(axis));
      }
      if (input != expected) {
        return Invalid("inputs may differ along axis ", axis, " only, but are ",
                       inputs[0].ToString(), " and ", input.ToString());
      }
      if ((input.shape.dim(axis) < 0) != (result.shape.dim(axis) < 0)) {
        return Invalid("along axis ", axis, " one of ",
                       inputs[0].shape.ToString(), " and ",
                       input.shape.ToString(), " is batched and the other not");
      }
      size += input.shape.dim(axis);
    }
    result.shape.set_dim(axis, size);
    return Outputs({result});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::Split split;
    const int rank = g.OutputType(0).shape.rank();
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(Typed(g.params()).axis(), rank));
    split.set_axis(axis);
    for (int i = 0; i < g.num_inputs(); ++i) {
      split.add_size(std::abs(g.InputType(i).shape.dim(axis)));
    }
    TAMER_ASSIGN_OR_RETURN(const std::string parts,
                           g.Emit("parts", split, {g.OutputGradient(0)}));
    for (int i = 0; i < g.num_inputs(); ++i) {
      g.SetGradient(i, i == 0 ? parts : absl::StrCat(parts, ":", i));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int rank = spec.outputs[0].shape.rank();
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(Typed(*spec.params).axis(), rank));
    std::vector<int64_t> parts;
    for (const TensorType& input : spec.inputs) {
      parts.push_back(BlocksOf(input, axis).bytes);
    }
    const Blocks whole = BlocksOf(spec.outputs[0], axis);
    return MakeKernel([parts, whole](const KernelArgs& args) {
      char* to = static_cast<char*>(args.outputs[0].data);
      for (int64_t row = 0; row < whole.outer; ++row) {
        for (size_t i = 0; i < parts.size(); ++i) {
          const char* from = static_cast<const char*>(args.inputs[i].data);
          std::memcpy(to, from + row * parts[i], parts[i]);
          to += parts[i];
        }
      }
      return absl::OkStatus();
    });
  }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int rank) const override {
    auto copy = std::make_unique<op::Concat>(Typed(params));
    copy->set_axis(AxisWithChannelsLast(copy->axis(), rank));
    return copy;
  }
};

class SplitOp : public TypedOp<op::Split> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Split& split = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    const Shape& shape = inputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(split.axis(), shape.rank()));
    if (split.size().empty()) return Invalid("size names no part");
    const int64_t whole = shape.dim(axis);
    const int64_t sign = whole < 0 ? -1 : 1;
    std::vector<TensorType> outputs;
    int64_t sum = 0;
    for (int64_t size : split.size()) {
      if (size < 1 || size > sign * whole) {
        return Invalid("size ", size, " is not a part of ", shape.ToString(),
                       " along axis ", axis);
      }
      outputs.push_back(inputs[0]);
      outputs.back().shape.set_dim(axis, sign * size);
      sum += sign * size;
    }
    if (sum != whole) {
      return Invalid("the sizes add up to ", sign * sum, ", but axis ", axis,
                     " of ", shape.ToString(), " is ", sign * whole);
    }
    return Outputs(std::move(outputs));
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const op::Split& split = Typed(g.params());
    op::Concat concat;
    concat.set_axis(split.axis());
    std::vector<std::string> parts;
    for (int i = 0; i < split.size_size(); ++i) {
      std::string part = g.OutputGradient(i);
      if (part.empty()) {
        op::Scale zero;
        zero.set_factor(0);
        TAMER_ASSIGN_OR_RETURN(
            part, g.Emit(absl::StrCat("zero", i), zero, {g.Output(i)}));
      }
      parts.push_back(part);
    }
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", concat, parts));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int rank = spec.inputs[0].shape.rank();
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(Typed(*spec.params).axis(), rank));
    std::vector<int64_t> parts;
    for (const TensorType& output : spec.outputs) {
      parts.push_back(BlocksOf(output, axis).bytes);
    }
    const Blocks whole = BlocksOf(spec.inputs[0], axis);
    return MakeKernel([parts, whole](const KernelArgs& args) {
      const char* from = static_cast<const char*>(args.inputs[0].data);
      for (int64_t row = 0; row < whole.outer; ++row) {
        for (size_t i = 0; i < parts.size(); ++i) {
          char* to = static_cast<char*>(args.outputs[i].data);
          std::memcpy(to + row * parts[i], from, parts[i]);
          from += parts[i];
        }
      }
      return absl::OkStatus();
    });
  }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int rank) const override {
    auto copy = std::make_unique<op::Split>(Typed(params));
    copy->set_axis(AxisWithChannelsLast(copy->axis(), rank));
    return copy;
  }
};

// What Reshape, Flatten and ReshapeLike share: the elements stay as they are.
template <typename Params>
class ReshapeBase : public TypedOp<Params> {
 public:
  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::ReshapeLike(), {g.OutputGradient(0), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec&) const override {
    return MakeCopy();
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

class ReshapeOp : public ReshapeBase<op::Reshape> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Reshape& reshape = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    const Shape& from = inputs[0].shape;
    Shape to;
    int64_t rest = from.elements();
    if (from.rank() > 0 && from.dim(0) < 0) {
      to.push_back(from.dim(0));
      rest /= from.dim(0);
    }
    int open = -1;
    int64_t known = 1;
    for (int64_t dim : reshape.shape()) {
      if (dim == -1 && open < 0) {
        open = to.rank();
      } else if (dim < 1 || __builtin_mul_overflow(known, dim, &known)) {
        return Invalid("shape has the dimension ", dim,
                       "; it may hold sizes of 1 and more, and one -1");
      }
      to.push_back(dim);
    }
    if (open >= 0 && known > 0 && rest % known == 0) {
      to.set_dim(open, rest / known);
      known = rest;
    }
    if (known != rest) {
      return Invalid("cannot make ", to.ToString(), " of ", from.ToString(),
                     ": the numbers of elements differ");
    }
    return Outputs({{inputs[0].dtype, to}});
  }
};

class FlattenOp : public ReshapeBase<op::Flatten> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    const Shape& from = inputs[0].shape;
    if (from.rank() < 1) return Invalid("the input has no batch dimension");
    const int64_t width = from.elements() / from.dim(0);
    return Outputs({{inputs[0].dtype, Shape({from.dim(0), width})}});
  }
};

class ReshapeLikeOp : public ReshapeBase<op::ReshapeLike> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, like"));
    if (inputs[0].shape.elements() != inputs[1].shape.elements()) {
      return Invalid("cannot make ", inputs[1].shape.ToString(), " of ",
                     inputs[0].shape.ToString(),
                     ": the numbers of elements differ");
    }
    return Outputs({{inputs[0].dtype, inputs[1].shape}});
  }
};

}  // namespace

TAMER_OP_FAMILY(shape, ConcatOp, SplitOp, ReshapeOp, FlattenOp, ReshapeLikeOp)

}  // namespace tamer
