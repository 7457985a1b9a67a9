// BatchMatMul on oneDNN's matmul, which reads transposed factors by strides.

#include <cmath>

#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/onednn.h"
#include "proto/ops/batch_matmul.pb.h"

namespace tamer {
namespace {

struct Sizes {
  int64_t batch = 1, m = 0, k = 0, n = 0;
};

// The sizes of shapes that Infer accepts; the batch may be symbolic.
absl::StatusOr<Sizes> SizesOf(const op::BatchMatMul& params, const Shape& a,
                              const Shape& b) {
  const int rank = a.rank();
  bool fits = rank >= 3 && b.rank() == rank;
  Sizes sizes;
  for (int i = 0; fits && i + 2 < rank; ++i) {
    fits = a.dim(i) == b.dim(i);
    sizes.batch *= a.dim(i);
  }
  if (fits) {
    const bool ta = params.transpose_a(), tb = params.transpose_b();
    sizes.m = a.dim(rank - (ta ? 1 : 2));
    sizes.k = a.dim(rank - (ta ? 2 : 1));
    sizes.n = b.dim(rank - (tb ? 2 : 1));
    fits = sizes.k == b.dim(rank - (tb ? 1 : 2)) && sizes.m > 0 &&
           sizes.k > 0 && sizes.n > 0;
  }
  if (fits) return sizes;
  return Invalid("a must be [..., ", params.transpose_a() ? "k, m" : "m, k",
                 "] and b [..., ", params.transpose_b() ? "n, k" : "k, n",
                 "] with the same leading dimensions, but they are ",
                 a.ToString(), " and ", b.ToString());
}

// A stack of [rows, columns] matrices, which may lie transposed.
dnnl::memory::desc Stack(int64_t batch, int64_t rows, int64_t columns,
                         bool transposed) {
  using Dims = dnnl::memory::dims;
  return dnnl::memory::desc({batch, rows, columns},
                            dnnl::memory::data_type::f32,
                            transposed ? Dims{rows * columns, 1, rows}
                                       : Dims{rows * columns, columns, 1});
}

class BatchMatMulKernel : public Kernel {
 public:
  // May throw dnnl::error.
  BatchMatMulKernel(const op::BatchMatMul& params, const Sizes& sizes) {
    const auto a = Stack(sizes.batch, sizes.m, sizes.k, params.transpose_a());
    const auto b = Stack(sizes.batch, sizes.k, sizes.n, params.transpose_b());
    const auto c = Stack(sizes.batch, sizes.m, sizes.n, false);
    dnnl::primitive_attr attributes = UserScratchpad();
    if (params.scale() != 1) attributes.set_output_scales(0, {params.scale()});
    const dnnl::matmul::primitive_desc chosen({a, b, c}, attributes, Engine());
    matmul_ =
        Primitive(dnnl::matmul(chosen),
                  {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}},
                  chosen.scratchpad_desc());
  }

  absl::Status Run(const KernelArgs& args) override {
    return matmul_.Run(
        {args.inputs[0].data, args.inputs[1].data, args.outputs[0].data},
        args.scratch);
  }
  int64_t scratch_bytes() const override { return matmul_.scratch_bytes(); }

 private:
  Primitive matmul_;
};

class BatchMatMulOp : public TypedOp<op::BatchMatMul> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "a, b"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const op::BatchMatMul& product = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckNumber(std::isfinite(product.scale()), "scale",
                                      product.scale(), "finite"));
    TAMER_ASSIGN_OR_RETURN(const Sizes sizes,
                           SizesOf(product, inputs[0].shape, inputs[1].shape));
    TensorType result = inputs[0];
    const int rank = result.shape.rank();
    result.shape.set_dim(rank - 2, sizes.m);
    result.shape.set_dim(rank - 1, sizes.n);
    return Outputs({result});
  }

  // Of C = A B: dA = dC B' and dB = A' dC; a transposed factor gets the
  // transposed product.
  absl::Status Gradient(GradientBuilder& g) const override {
    const op::BatchMatMul& product = Typed(g.params());
    const bool ta = product.transpose_a(), tb = product.transpose_b();
    const std::string dc = g.OutputGradient(0);
    if (g.Wanted(0)) {
      TAMER_ASSIGN_OR_RETURN(
          const std::string da,
          ta ? EmitProduct(g, "a", g.Input(1), tb, dc, true)
             : EmitProduct(g, "a", dc, false, g.Input(1), !tb));
      g.SetGradient(0, da);
    }
    if (g.Wanted(1)) {
      TAMER_ASSIGN_OR_RETURN(
          const std::string db,
          tb ? EmitProduct(g, "b", dc, true, g.Input(0), ta)
             : EmitProduct(g, "b", g.Input(0), !ta, dc, false));
      g.SetGradient(1, db);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::BatchMatMul& product = Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(
        const Sizes sizes,
        SizesOf(product, spec.inputs[0].shape, spec.inputs[1].shape));
    return CatchDnnl("BatchMatMul", [&]() -> std::unique_ptr<Kernel> {
      return std::make_unique<BatchMatMulKernel>(product, sizes);
    });
  }

  double Flops(const KernelSpec& spec) const override {
    const Shape& a = spec.inputs[0].shape;
    const int inner = a.rank() - (Typed(*spec.params).transpose_a() ? 2 : 1);
    return 2.0 * static_cast<double>(spec.outputs[0].shape.elements()) *
           static_cast<double>(a.dim(inner));
  }

 private:
  static absl::StatusOr<std::string> EmitProduct(
      GradientBuilder& g, const char* suffix, const std::string& a,
      bool transpose_a, const std::string& b, bool transpose_b) {
    op::BatchMatMul product;
    product.set_transpose_a(transpose_a);
    product.set_transpose_b(transpose_b);
    product.set_scale(Typed(g.params()).scale());
    return g.Emit(suffix, product, {a, b});
  }
};

}  // namespace

TAMER_OP_FAMILY(batch_matmul, BatchMatMulOp)

}  // namespace tamer
