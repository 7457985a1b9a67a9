// Dense, Affine and MatMul: matrix products on oneDNN.
//
// A tensor of rank above 2 is seen as the matrix of its rows: [B, T, in] as
// [B * T, in]. Weights lie as [in, units], which lets forward and
// weight-gradient products read them in the order oneDNN's kernels like best.

#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/layer.h"
#include "ops/internal/matmul.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

constexpr int64_t kWidest = int64_t{1} << 24;

Shape WithBack(const Shape& shape, int64_t back) {
  Shape result = shape;
  result.set_dim(shape.rank() - 1, back);
  return result;
}

double MatmulFlops(const TensorType& output, int64_t k) {
  return 2.0 * static_cast<double>(output.shape.elements()) *
         static_cast<double>(k);
}

absl::Status CheckMatrixInput(const TensorType& x, const char* what) {
  if (x.shape.rank() < 2) {
    return Invalid(what, " must have a batch and at least one more dimension, ",
                   "as [B, in], but is ", x.shape.ToString());
  }
  if (x.shape.back() < 1) {
    return Invalid(what, "'s last dimension must be its width, but is in ",
                   x.shape.ToString());
  }
  return absl::OkStatus();
}

// A bias's gradient, input `i` of the node, from the one at the sum it was
// added to: that one's sum over all dimensions but the last.
absl::Status SetBiasGradient(GradientBuilder& g, int i,
                             const std::string& value) {
  if (i >= g.num_inputs() || !g.Wanted(i)) return absl::OkStatus();
  op::Reduce sum;
  const int rank = g.OutputType(0).shape.rank();
  for (int axis = 0; axis + 1 < rank; ++axis) sum.add_axis(axis);
  TAMER_ASSIGN_OR_RETURN(const std::string db, g.Emit("bias", sum, {value}));
  g.SetGradient(i, db);
  return absl::OkStatus();
}

// The gradient at the layer's input, from `dz` at its sum: dz times the weight,
// transposed if forward it was not.
absl::Status SetInputGradient(GradientBuilder& g, bool transpose,
                              const std::string& dz) {
  if (!g.Wanted(0)) return absl::OkStatus();
  op::Affine back;
  back.set_transpose_weight(transpose);
  TAMER_ASSIGN_OR_RETURN(const std::string dx,
                         g.Emit("input", back, {dz, g.Input(1)}));
  g.SetGradient(0, dx);
  return absl::OkStatus();
}

// And at its weight: x' dz, or dz' x for a weight used transposed.
absl::Status SetWeightGradient(GradientBuilder& g, bool transposed,
                               const std::string& dz) {
  if (!g.Wanted(1)) return absl::OkStatus();
  op::MatMul product;
  product.set_transpose_a(true);
  std::vector<std::string> factors = {g.Input(0), dz};
  if (transposed) std::swap(factors[0], factors[1]);
  TAMER_ASSIGN_OR_RETURN(const std::string dw,
                         g.Emit("weight", product, factors));
  g.SetGradient(1, dw);
  return absl::OkStatus();
}

class DenseOp : public TypedOp<op::Dense> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Dense& dense = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckMatrixInput(inputs[0], "the input"));
    if (dense.units() < 1 || dense.units() > kWidest) {
      return Invalid("units is ", dense.units(), "; it must be 1 to ", kWidest);
    }
    const int64_t width = inputs[0].shape.back();
    Inference result;
    TensorType y{DType::kFloat, WithBack(inputs[0].shape, dense.units())};
    result.outputs.push_back(y);
    if (dense.activation() == op::GELU) result.outputs.push_back(y);
    VariableSpec weight;
    weight.name = "weight";
    weight.type.shape = Shape({width, dense.units()});
    weight.initializer = WeightInit(dense);
    result.variables.push_back(weight);
    if (dense.bias()) {
      result.variables.push_back(
          BiasSpec(dense.units(), dense.has_bias_init(), dense.bias_init()));
    }
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const op::Dense& dense = Typed(g.params());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dz,
        EmitBeforeActivation(g, dense.activation(), dense.slope()));
    TAMER_RETURN_IF_ERROR(SetInputGradient(g, true, dz));
    TAMER_RETURN_IF_ERROR(SetWeightGradient(g, false, dz));
    return SetBiasGradient(g, 2, dz);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Dense& dense = Typed(*spec.params);
    MatmulShape shape;
    shape.a_rows = spec.inputs[0].shape.rows();
    shape.a_columns = shape.b_rows = spec.inputs[0].shape.back();
    shape.b_columns = dense.units();
    shape.bias = dense.bias();
    shape.activation = dense.activation();
    shape.slope = dense.slope();
    shape.precision = dense.precision();
    shape.fixed_b = spec.fixed_variables;
    return MakeMatmul(shape, dense.activation() == op::GELU);
  }

  double Flops(const KernelSpec& spec) const override {
    return MatmulFlops(spec.outputs[0], spec.inputs[0].shape.back());
  }

 private:
  static Initializer WeightInit(const op::Dense& dense) {
    return dense.has_weight_init() ? dense.weight_init()
                                   : FirstWeights(dense.activation());
  }
};

class AffineOp : public TypedOp<op::Affine> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Affine& affine = Typed(params);
    const bool backwards = affine.slope_of() != op::LINEAR;
    if (backwards) {
      TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "x, weight, z"));
    } else if (inputs.size() != 3) {
      TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, weight, and maybe bias"));
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckMatrixInput(inputs[0], "the input"));
    const Shape& weight = inputs[1].shape;
    if (weight.rank() != 2 || weight.batched()) {
      return Invalid("the weight must be a matrix [in, units], but is ",
                     weight.ToString());
    }
    const bool transposed = affine.transpose_weight();
    const int64_t in = weight.dim(transposed ? 1 : 0);
    const int64_t units = weight.dim(transposed ? 0 : 1);
    if (inputs[0].shape.back() != in) {
      return Invalid("the input is ", inputs[0].shape.ToString(),
                     ", but the weight ", weight.ToString(),
                     transposed ? ", transposed," : "", " takes ", in,
                     " numbers a row");
    }
    const TensorType y{DType::kFloat, WithBack(inputs[0].shape, units)};
    if (backwards) {
      if (affine.activation() != op::LINEAR) {
        return Invalid("slope_of goes with no activation");
      }
      if (inputs[2] != y) {
        return Invalid("z must be ", y.ToString(), ", but is ",
                       inputs[2].ToString());
      }
    } else if (inputs.size() == 3 && inputs[2].shape != Shape({units})) {
      return Invalid("the bias must be [", units, "], but is ",
                     inputs[2].shape.ToString());
    }
    return Outputs({y});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const op::Affine& affine = Typed(g.params());
    if (affine.slope_of() != op::LINEAR) {
      return absl::UnimplementedError("Affine with slope_of has no gradient");
    }
    if (affine.activation() == op::GELU) {
      return absl::UnimplementedError(
          "Affine with GELU has no gradient; use LINEAR and op/Gelu after it");
    }
    TAMER_ASSIGN_OR_RETURN(
        const std::string dz,
        EmitBeforeActivation(g, affine.activation(), affine.slope()));
    const bool transposed = affine.transpose_weight();
    TAMER_RETURN_IF_ERROR(SetInputGradient(g, !transposed, dz));
    TAMER_RETURN_IF_ERROR(SetWeightGradient(g, transposed, dz));
    return SetBiasGradient(g, 2, dz);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Affine& affine = Typed(*spec.params);
    MatmulShape shape;
    shape.a_rows = spec.inputs[0].shape.rows();
    shape.a_columns = spec.inputs[0].shape.back();
    shape.b_rows = spec.inputs[1].shape.dim(0);
    shape.b_columns = spec.inputs[1].shape.dim(1);
    shape.transpose_b = affine.transpose_weight();
    shape.slope_of = affine.slope_of();
    shape.bias = spec.inputs.size() == 3 && shape.slope_of == op::LINEAR;
    shape.activation = affine.activation();
    shape.slope = affine.slope();
    shape.precision = affine.precision();
    return MakeMatmul(shape, /*keep_argument=*/false);
  }

  double Flops(const KernelSpec& spec) const override {
    return MatmulFlops(spec.outputs[0], spec.inputs[0].shape.back());
  }
};

class MatMulOp : public TypedOp<op::MatMul> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::MatMul& product = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "a, b"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape& a = inputs[0].shape;
    const Shape& b = inputs[1].shape;
    if (a.rank() < 2 || b.rank() < 2) {
      return Invalid("both must be matrices, but they are ", a.ToString(),
                     " and ", b.ToString());
    }
    const int64_t a_inner = product.transpose_a() ? a.rows() : a.back();
    const int64_t b_inner = product.transpose_b() ? b.back() : b.rows();
    if (a_inner != b_inner) {
      return Invalid("the inner dimensions differ: ", a.ToString(),
                     product.transpose_a() ? " transposed" : "", " times ",
                     b.ToString(), product.transpose_b() ? " transposed" : "");
    }
    const int64_t n = product.transpose_b() ? b.rows() : b.back();
    const Shape c =
        product.transpose_a() ? Shape({a.back(), n}) : WithBack(a, n);
    int batched = 0;
    for (int64_t dim : c.dims()) batched += dim < 0;
    if (batched > 1) {
      return Invalid("the product of ", a.ToString(), " and ", b.ToString(),
                     " would grow with the square of the batch");
    }
    return Outputs({{DType::kFloat, c}});
  }

  // With C = op(A) op(B): dA is dC op(B)' or its transpose, and so for B.
  absl::Status Gradient(GradientBuilder& g) const override {
    const op::MatMul& product = Typed(g.params());
    const bool ta = product.transpose_a(), tb = product.transpose_b();
    const std::string dc = g.OutputGradient(0);
    if (g.Wanted(0)) {
      op::MatMul da;
      da.set_transpose_b(!tb);
      std::vector<std::string> factors = {dc, g.Input(1)};
      if (ta) {
        std::swap(factors[0], factors[1]);
        da.set_transpose_a(tb);
        da.set_transpose_b(true);
      }
      TAMER_ASSIGN_OR_RETURN(const std::string value, g.Emit("a", da, factors));
      TAMER_RETURN_IF_ERROR(SetShaped(g, 0, value));
    }
    if (g.Wanted(1)) {
      op::MatMul db;
      std::vector<std::string> factors = {g.Input(0), dc};
      db.set_transpose_a(!ta);
      if (tb) {
        std::swap(factors[0], factors[1]);
        db.set_transpose_a(true);
        db.set_transpose_b(ta);
      }
      TAMER_ASSIGN_OR_RETURN(const std::string value, g.Emit("b", db, factors));
      TAMER_RETURN_IF_ERROR(SetShaped(g, 1, value));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::MatMul& product = Typed(*spec.params);
    MatmulShape shape;
    shape.a_rows = spec.inputs[0].shape.rows();
    shape.a_columns = spec.inputs[0].shape.back();
    shape.b_rows = spec.inputs[1].shape.rows();
    shape.b_columns = spec.inputs[1].shape.back();
    shape.transpose_a = product.transpose_a();
    shape.transpose_b = product.transpose_b();
    shape.precision = product.precision();
    return MakeMatmul(shape, /*keep_argument=*/false);
  }

  double Flops(const KernelSpec& spec) const override {
    const Shape& a = spec.inputs[0].shape;
    return MatmulFlops(spec.outputs[0],
                       Typed(*spec.params).transpose_a() ? a.rows() : a.back());
  }

 private:
  // A factor of rank above 2 was seen as a matrix; its gradient gets its shape.
  static absl::Status SetShaped(GradientBuilder& g, int i,
                                const std::string& value) {
    std::string shaped = value;
    if (g.InputType(i).shape.rank() > 2) {
      TAMER_ASSIGN_OR_RETURN(
          shaped, g.Emit(i == 0 ? "a_shaped" : "b_shaped", op::ReshapeLike(),
                         {value, g.Input(i)}));
    }
    g.SetGradient(i, shaped);
    return absl::OkStatus();
  }
};

// x + bias along the last dimension.
class BiasOp : public TypedOp<op::Bias> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckMatrixInput(inputs[0], "the input"));
    Inference result = Outputs({inputs[0]});
    VariableSpec bias;
    bias.name = "bias";
    bias.type.shape = Shape({inputs[0].shape.back()});
    bias.initializer = Typed(params).init();
    if (!Typed(params).has_init()) bias.initializer.mutable_zero();
    bias.decay = false;
    result.variables.push_back(bias);
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    g.SetGradient(0, g.OutputGradient(0));
    return SetBiasGradient(g, 1, g.OutputGradient(0));
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.rows();
    const int64_t columns = spec.inputs[0].shape.back();
    return MakeKernel([rows, columns](const KernelArgs& args) {
      const float* bias = args.inputs[1].floats();
      for (int64_t r = 0; r < rows; ++r) {
        const float* x = args.inputs[0].floats() + r * columns;
        float* y = args.outputs[0].floats() + r * columns;
        for (int64_t c = 0; c < columns; ++c) y[c] = x[c] + bias[c];
      }
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(dense, DenseOp, AffineOp, MatMulOp, BiasOp)

}  // namespace tamer
