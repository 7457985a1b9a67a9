// Reorder: the border between images with channels first and channels last.

#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/onednn.h"
#include "proto/ops/reorder.pb.h"

namespace tamer {
namespace {

dnnl::memory::data_type TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat:
      return dnnl::memory::data_type::f32;
    case DType::kInt32:
      return dnnl::memory::data_type::s32;
    case DType::kUint8:
      return dnnl::memory::data_type::u8;
    case DType::kInt8:
      break;
  }
  return dnnl::memory::data_type::s8;
}

// [outer, rows, columns] to [outer, columns, rows].
absl::StatusOr<std::unique_ptr<Kernel>> MakeTranspose(DType dtype,
                                                      int64_t outer,
                                                      int64_t rows,
                                                      int64_t columns) {
  if (rows == 1 || columns == 1) return MakeCopy();
  return CatchDnnl("reorder", [&]() -> std::unique_ptr<Kernel> {
    const auto type = TypeOf(dtype);
    const dnnl::memory::dims dims = {outer, rows, columns};
    Primitive reorder = NewReorder({dims, type, {rows * columns, columns, 1}},
                                   {dims, type, {rows * columns, 1, rows}});
    const int64_t scratch = reorder.scratch_bytes();
    return MakeKernel(
        [reorder = std::move(reorder)](const KernelArgs& args) mutable {
          return reorder.Run({args.inputs[0].data, args.outputs[0].data},
                             args.scratch);
        },
        scratch);
  });
}

class ReorderOp : public TypedOp<op::Reorder> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    const Shape& shape = inputs[0].shape;
    if (shape.rank() < 3 || shape.rank() > 5) {
      return Invalid("the input must be an image, [B, C, H, W] or with one or ",
                     "three spatial dimensions, but is ", shape.ToString());
    }
    const bool last = Typed(params).channels_last();
    return Outputs({{inputs[0].dtype,
                     last ? ToChannelsLast(shape) : ToChannelsFirst(shape)}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::Reorder back;
    back.set_channels_last(!Typed(g.params()).channels_last());
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", back, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    const int64_t batch = shape.dim(0);
    const bool last = Typed(*spec.params).channels_last();
    const int64_t channels = last ? shape.dim(1) : shape.back();
    const int64_t places = shape.elements() / batch / channels;
    const DType dtype = spec.inputs[0].dtype;
    return last ? MakeTranspose(dtype, batch, channels, places)
                : MakeTranspose(dtype, batch, places, channels);
  }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams&, int) const override {
    return nullptr;  // it is the border itself
  }
};

}  // namespace

TAMER_OP_FAMILY(reorder, ReorderOp)

}  // namespace tamer
