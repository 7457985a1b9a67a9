// Elementwise functions and products in ONNX.

#include <algorithm>

#include "core/interchange/onnx_writer.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/batch_matmul.pb.h"
#include "proto/ops/contrast.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/quantized.pb.h"
#include "proto/ops/smooth_activation.pb.h"

namespace tamer {
namespace {

using Names = std::vector<std::string>;

// An op that ONNX has under a name of its own, without parameters.
template <const char* kName>
Names Same(OnnxWriter& w) {
  Names inputs;
  for (int i = 0; i < w.inputs(); ++i) inputs.push_back(w.In(i));
  return {w.Emit(kName, inputs)};
}

#define TAMER_ONNX_NAME(name) constexpr char k##name[] = #name
TAMER_ONNX_NAME(Div);
TAMER_ONNX_NAME(Exp);
TAMER_ONNX_NAME(HardSwish);
TAMER_ONNX_NAME(Identity);
TAMER_ONNX_NAME(Log);
TAMER_ONNX_NAME(Max);
TAMER_ONNX_NAME(Min);
TAMER_ONNX_NAME(Mul);
TAMER_ONNX_NAME(Relu);
TAMER_ONNX_NAME(Sigmoid);
TAMER_ONNX_NAME(Softplus);
TAMER_ONNX_NAME(Sqrt);
TAMER_ONNX_NAME(Sub);
TAMER_ONNX_NAME(Tanh);
#undef TAMER_ONNX_NAME

Names Add(OnnxWriter& w) {
  std::string sum = w.In(0);
  for (int i = 1; i < w.inputs(); ++i) sum = w.Emit("Add", {sum, w.In(i)});
  return {sum};
}

Names Scale(OnnxWriter& w) {
  const auto& scale = w.Op<op::Scale>();
  if (scale.divide_by_batch()) {
    return w.Fail("divide_by_batch belongs to training");
  }
  return {w.Emit("Mul", {w.In(0), w.Scalar(scale.factor())})};
}

Names LeakyRelu(OnnxWriter& w) {
  return {w.Activate(w.In(0), op::LEAKY_RELU, w.Op<op::LeakyRelu>().slope())};
}

Names Gelu(OnnxWriter& w) { return {w.Activate(w.In(0), op::GELU, 0)}; }

Names Elu(OnnxWriter& w) {
  return {w.Emit("Elu", {w.In(0)}, {{"alpha", w.Op<op::Elu>().alpha()}})};
}

Names Selu(OnnxWriter& w) {
  return {w.Emit("Selu", {w.In(0)},
                 {{"alpha", 1.67326324f}, {"gamma", 1.05070098f}})};
}

Names Silu(OnnxWriter& w) {
  const float beta = w.Op<op::Silu>().beta();
  const std::string scaled =
      beta == 1 ? w.In(0) : w.Emit("Mul", {w.In(0), w.Scalar(beta)});
  return {w.Emit("Mul", {w.In(0), w.Emit("Sigmoid", {scaled})})};
}

Names Pow(OnnxWriter& w) {
  return {w.Emit("Pow", {w.In(0), w.Scalar(w.Op<op::Pow>().exponent())})};
}

Names Clip(OnnxWriter& w) {
  const auto& clip = w.Op<op::Clip>();
  return {
      w.Emit("Clip", {w.In(0), w.Scalar(clip.min()), w.Scalar(clip.max())})};
}

// A slope [C] stands at dimension 1.
Names PRelu(OnnxWriter& w) {
  const int64_t rank = w.InShape(0).rank();
  std::vector<int64_t> after;
  for (int64_t i = 1; i + 1 < rank; ++i) after.push_back(i);
  const bool channels = w.InShape(1).elements() > 1 && !after.empty();
  return {w.Emit("PRelu",
                 {w.In(0), channels ? w.Unsqueeze(w.In(1), after) : w.In(1)})};
}

template <bool kLog>
Names Softmax(OnnxWriter& w) {
  return {w.Emit(kLog ? "LogSoftmax" : "Softmax", {w.In(0)},
                 {{"axis", int64_t{-1}}})};
}

Names L2Normalize(OnnxWriter& w) {
  const std::string length =
      w.Emit("ReduceL2", {w.In(0)},
             {{"axes", std::vector<int64_t>{-1}}, {"keepdims", int64_t{1}}});
  return {w.Emit(
      "Div",
      {w.In(0),
       w.Emit("Max", {length, w.Scalar(w.Op<op::L2Normalize>().epsilon())})})};
}

// x times a matrix, and maybe a bias: Gemm for matrices, else MatMul and Add.
std::string Product(OnnxWriter& w, const std::string& matrix, bool transposed,
                    const std::string& bias) {
  if (w.InShape(0).rank() == 2) {
    Names in = {w.In(0), matrix};
    if (!bias.empty()) in.push_back(bias);
    return w.Emit("Gemm", in, {{"transB", int64_t{transposed ? 1 : 0}}});
  }
  const std::string product = w.Emit(
      "MatMul", {w.In(0), transposed ? w.Transpose(matrix, {1, 0}) : matrix});
  return bias.empty() ? product : w.Emit("Add", {product, bias});
}

Names Dense(OnnxWriter& w) {
  const auto& dense = w.Op<op::Dense>();
  return {w.Activate(Product(w, w.In(1), false, dense.bias() ? w.In(2) : ""),
                     dense.activation(), dense.slope())};
}

Names Affine(OnnxWriter& w) {
  const auto& affine = w.Op<op::Affine>();
  if (affine.slope_of() != op::LINEAR) {
    return w.Fail("slope_of belongs to training");
  }
  return {w.Activate(Product(w, w.In(1), affine.transpose_weight(),
                             w.inputs() > 2 ? w.In(2) : ""),
                     affine.activation(), affine.slope())};
}

// Bytes by ONNX's own quantisation operators, which runtimes fuse.
Names QuantizedDense(OnnxWriter& w) {
  const auto& dense = w.Op<op::QuantizedDense>();
  const std::string scale = w.Scalar(dense.input_scale());
  const std::string zero =
      w.Uint8(static_cast<uint8_t>(dense.input_zero_point()));
  const std::string q = w.Emit("QuantizeLinear", {w.In(0), scale, zero});
  const std::string x = w.Emit("DequantizeLinear", {q, scale, zero});
  const Tensor* weight = w.Int8Tensor(1);
  if (weight == nullptr) return {};
  const std::string matrix = w.Emit(
      "DequantizeLinear", {w.Int8s(*weight), w.In(2)}, {{"axis", int64_t{1}}});
  std::string y = w.Emit("MatMul", {x, matrix});
  if (dense.bias()) y = w.Emit("Add", {y, w.In(3)});
  return {w.Activate(y, dense.activation(), dense.slope())};
}

// A factor with its last two dimensions swapped if asked.
std::string Factor(OnnxWriter& w, int i, bool transposed) {
  if (!transposed) return w.In(i);
  std::vector<int64_t> perm(w.InShape(i).rank());
  for (size_t d = 0; d < perm.size(); ++d) perm[d] = d;
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return w.Transpose(w.In(i), perm);
}

Names MatMul(OnnxWriter& w) {
  const auto& product = w.Op<op::MatMul>();
  return {w.Emit("MatMul", {Factor(w, 0, product.transpose_a()),
                            Factor(w, 1, product.transpose_b())})};
}

Names BatchMatMul(OnnxWriter& w) {
  const auto& product = w.Op<op::BatchMatMul>();
  const std::string y = w.Emit("MatMul", {Factor(w, 0, product.transpose_a()),
                                          Factor(w, 1, product.transpose_b())});
  if (product.scale() == 1) return {y};
  return {w.Emit("Mul", {y, w.Scalar(product.scale())})};
}

}  // namespace

OnnxWriteTable BasicWriters() {
  return {{"Add", Add},
          {"Affine", Affine},
          {"BatchMatMul", BatchMatMul},
          {"Bias", Add},
          {"Clip", Clip},
          {"Dense", Dense},
          {"Div", Same<kDiv>},
          {"Elu", Elu},
          {"Exp", Same<kExp>},
          {"Gelu", Gelu},
          {"HardSwish", Same<kHardSwish>},
          {"Identity", Same<kIdentity>},
          {"L2Normalize", L2Normalize},
          {"LeakyRelu", LeakyRelu},
          {"Log", Same<kLog>},
          {"LogSoftmax", Softmax<true>},
          {"MatMul", MatMul},
          {"Max", Same<kMax>},
          {"Min", Same<kMin>},
          {"Mul", Same<kMul>},
          {"PRelu", PRelu},
          {"Pow", Pow},
          {"QuantizedDense", QuantizedDense},
          {"Relu", Same<kRelu>},
          {"Scale", Scale},
          {"Selu", Selu},
          {"Sigmoid", Same<kSigmoid>},
          {"Silu", Silu},
          {"Softmax", Softmax<false>},
          {"Softplus", Same<kSoftplus>},
          {"Sqrt", Same<kSqrt>},
          {"Sub", Same<kSub>},
          {"Tanh", Same<kTanh>}};
}

}  // namespace tamer
