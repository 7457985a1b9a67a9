// Products of ONNX: fully connected layers where the model holds a factor.

#include "core/interchange/onnx_read_tables.h"
#include "proto/ops/batch_matmul.pb.h"
#include "proto/ops/dense.pb.h"

namespace tamer {
namespace {

// The numbers of a matrix with its dimensions swapped.
std::vector<float> Swapped(const OnnxConstant& matrix) {
  const int64_t rows = matrix.dims[0], columns = matrix.dims[1];
  std::vector<float> result(matrix.floats.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < columns; ++k) {
      result[k * rows + i] = matrix.floats[i * columns + k];
    }
  }
  return result;
}

// x times a matrix that the model holds, plus a bias if there is one. A matrix
// that another layer has is borrowed.
void Layer(OnnxReader& r, const OnnxConstant& matrix, bool transposed,
           const OnnxConstant* bias) {
  const int64_t units = matrix.dims[transposed ? 0 : 1];
  const std::string x = r.In(0);
  const OnnxReader::Owned* owned = r.FindOwner(matrix);
  if (owned != nullptr) {
    op::Affine affine;
    affine.set_transpose_weight(owned->transposed != transposed);
    std::vector<std::string> inputs = {x, owned->variable};
    if (bias != nullptr) {
      const std::string b = r.In(2);
      inputs.push_back(r.Reshape(b, Shape({units}), "bias"));
    }
    affine.set_activation(r.TakeActivation(true));
    r.Result(r.Add(affine, inputs));
    return;
  }
  op::Dense dense;
  dense.set_units(units);
  dense.set_bias(bias != nullptr);
  dense.set_activation(r.TakeActivation(true));
  std::vector<std::vector<float>> weights = {transposed ? Swapped(matrix)
                                                        : matrix.floats};
  if (bias != nullptr) weights.push_back(bias->floats);
  r.Result(r.AddLayer(dense, {x}, weights, matrix, transposed));
}

void Gemm(OnnxReader& r) {
  if (r.Float("alpha", 1) != 1 || r.Float("beta", 1) != 1 ||
      r.Int("transA", 0) != 0) {
    r.Fail("alpha and beta must be 1, and transA 0");
    return;
  }
  const bool transposed = r.Int("transB", 0) != 0;
  const OnnxConstant* matrix = r.Constant(1);
  const OnnxConstant* bias = r.Constant(2);
  if (matrix != nullptr && r.Weight(1, 2) != nullptr) {
    const int64_t units = matrix->dims[transposed ? 0 : 1];
    if (bias != nullptr && bias->elements() != units) {
      r.Fail("its bias must have a number for each unit");
      return;
    }
    if (bias != nullptr || !r.Has(2)) {
      Layer(r, *matrix, transposed, bias);
      return;
    }
  }
  op::Affine affine;
  affine.set_transpose_weight(transposed);
  std::vector<std::string> inputs = {r.In(0), r.In(1)};
  if (r.Has(2)) inputs.push_back(r.In(2));
  affine.set_activation(r.TakeActivation(true));
  r.Result(r.Add(affine, inputs));
}

// The bias that the next node adds, if it does nothing but that.
const OnnxConstant* TakeBias(OnnxReader& r, int64_t units) {
  const onnx::NodeProto* next = r.Next();
  if (next == nullptr || next->op_type() != "Add" || next->input_size() != 2) {
    return nullptr;
  }
  for (const std::string& input : next->input()) {
    const OnnxConstant* constant = r.Find(input);
    if (constant == nullptr || constant->whole || !constant->trainable ||
        constant->elements() != units || constant->dims.size() != 1 ||
        r.FindOwner(*constant) != nullptr) {
      continue;
    }
    r.Take();
    return constant;
  }
  return nullptr;
}

// An input of which a product may read the last two dimensions swapped, as it
// lies.
std::string Factor(OnnxReader& r, int i, bool* swapped) {
  const OnnxValue& value = r.Value(i);
  const int rank = static_cast<int>(value.view.size());
  *swapped = rank >= 2 && value.view[rank - 1] == rank - 2 &&
             value.view[rank - 2] == rank - 1;
  for (int d = 0; d + 2 < rank; ++d) *swapped &= value.view[d] == d;
  return *swapped ? value.name : r.In(i);
}

template <typename Params>
Params Transposed(bool a, bool b) {
  Params product;
  product.set_transpose_a(a);
  product.set_transpose_b(b);
  return product;
}

void MatMul(OnnxReader& r) {
  const OnnxConstant* matrix = r.Constant(1);
  if (matrix != nullptr && matrix->trainable && matrix->dims.size() == 2 &&
      r.Weight(1, 2) != nullptr) {
    const OnnxConstant* bias = r.FindOwner(*matrix) == nullptr
                                   ? TakeBias(r, matrix->dims[1])
                                   : nullptr;
    Layer(r, *matrix, false, bias);
    return;
  }
  const int rank = r.Dims(1).rank();
  bool a_swapped = false, b_swapped = false;
  if (r.Dims(0).rank() > 2 && rank == 2) {
    op::Affine affine;
    const std::string a = r.In(0), b = Factor(r, 1, &b_swapped);
    affine.set_transpose_weight(b_swapped);
    r.Result(r.Add(affine, {a, b}));
    return;
  }
  const std::string a = Factor(r, 0, &a_swapped);
  const std::string b = Factor(r, 1, &b_swapped);
  if (rank > 2) {
    r.Result(r.Add(Transposed<op::BatchMatMul>(a_swapped, b_swapped), {a, b}));
  } else {
    r.Result(r.Add(Transposed<op::MatMul>(a_swapped, b_swapped), {a, b}));
  }
}

}  // namespace

OnnxReadTable ProductReaders() { return {{"Gemm", Gemm}, {"MatMul", MatMul}}; }

}  // namespace tamer
