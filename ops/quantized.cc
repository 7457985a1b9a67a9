// QuantizedDense: a layer for prediction that multiplies bytes.
//
// Its variables never change while a plan lives, so a kernel derives what it
// needs of them once, at its first run: kernels are compiled before their
// variables can be read.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/matmul.h"
#include "ops/internal/primitives.h"
#include "proto/ops/quantized.pb.h"

namespace tamer {
namespace {

using dnnl::memory;

constexpr int64_t kWidest = int64_t{1} << 24;
// A sum of so many products of a byte and a weight fits into 32 bits.
constexpr int64_t kMostInputs =
    std::numeric_limits<int32_t>::max() / (255 * 128);

// Where the variables stand among a kernel's inputs.
constexpr int kWeight = 1, kWeightScale = 2, kBias = 3;

struct Layer {
  int64_t rows = 0, in = 0, units = 0;
  op::QuantizedDense params;
};

// What x becomes before its zero point is added. NaN becomes the lowest.
TAMER_INLINE int32_t Steps(float x, float inverse, int32_t zero_point) {
  const float low = static_cast<float>(-zero_point);
  const float high = static_cast<float>(255 - zero_point);
  float steps = x * inverse;
  steps = steps > low ? steps : low;
  steps = steps < high ? steps : high;
  // Rounds, halves to even, by adding and taking away 1.5 * 2^23.
  return static_cast<int32_t>((steps + 12582912.0f) - 12582912.0f);
}

TAMER_VECTORIZED
void ToBytes(const float* x, int64_t n, float inverse, int32_t zero_point,
             uint8_t* q) {
  for (int64_t i = 0; i < n; ++i) {
    q[i] = static_cast<uint8_t>(Steps(x[i], inverse, zero_point) + zero_point);
  }
}

// What the bytes stand for, as floats.
TAMER_VECTORIZED
void ToSteps(const float* x, int64_t n, float inverse, int32_t zero_point,
             float scale, float* to) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = static_cast<float>(Steps(x[i], inverse, zero_point)) * scale;
  }
}

// A product's file may hold anything.
absl::Status CheckScales(const Tensor& scales, float input_scale) {
  for (int64_t unit = 0; unit < scales.elements(); ++unit) {
    const float scale = scales.floats()[unit];
    if (!(scale * input_scale >= std::numeric_limits<float>::min()) ||
        !std::isfinite(scale * input_scale)) {
      return Invalid("weight_scale of unit ", unit, " is ", scale,
                     "; it must be above 0; export the product once more");
    }
  }
  return absl::OkStatus();
}

// On a CPU that multiplies bytes. The sum of (q - zero_point) * weight is that
// of q * weight less zero_point times the sum of the unit's weights; so with
// scale = input_scale * weight_scale
//   y = activation(scale * (sum of q * weight + offset)),
//   offset = bias / scale - zero_point * sum of weights.
// Sums of integers are exact: the bits don't depend on the threads.
class ByteKernel : public Kernel {
 public:
  // May throw dnnl::error.
  explicit ByteKernel(const Layer& layer)
      : layer_(layer), scales_(layer.units), offsets_(layer.units) {
    const auto u8 = memory::data_type::u8, s8 = memory::data_type::s8;
    const auto rows_first = memory::format_tag::ab;
    const memory::desc x({layer.rows, layer.in}, u8, rows_first);
    const memory::desc weight({layer.in, layer.units}, s8, rows_first);
    const memory::desc packed({layer.in, layer.units}, s8,
                              memory::format_tag::any);
    const memory::desc offset = PlainDesc({1, layer.units});
    const memory::desc y = PlainDesc({layer.rows, layer.units});
    const memory::desc scale = offset;
    // oneDNN's output scales, if known only when it runs, make it take a way
    // that is five times as slow for single samples.
    dnnl::post_ops post;
    post.append_binary(dnnl::algorithm::binary_mul, scale);
    if (layer.params.activation() != op::LINEAR) {
      AppendActivation(layer.params.activation(), layer.params.slope(), &post);
    }
    dnnl::primitive_attr attributes = UserScratchpad();
    attributes.set_post_ops(post);
    const dnnl::matmul::primitive_desc chosen(
        dnnl::matmul::desc(x, packed, offset, y), attributes, Engine());
    pack_ = NewReorder(weight, chosen.weights_desc());
    packed_ = Buffer(static_cast<int64_t>(chosen.weights_desc().get_size()));
    matmul_ =
        Primitive(dnnl::matmul(chosen),
                  {{DNNL_ARG_SRC, x},
                   {DNNL_ARG_WEIGHTS, chosen.weights_desc()},
                   {DNNL_ARG_BIAS, offset},
                   {DNNL_ARG_DST, y},
                   {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, scale}},
                  chosen.scratchpad_desc());
    bytes_ = Aligned(layer.rows * layer.in);
  }

  absl::Status Run(const KernelArgs& args) override {
    auto* q = static_cast<uint8_t*>(args.scratch);
    void* scratch = q + bytes_;
    if (!prepared_) TAMER_RETURN_IF_ERROR(Prepare(args, scratch));
    const float* x = args.inputs[0].floats();
    const int32_t zero_point = layer_.params.input_zero_point();
    const float inverse = 1 / layer_.params.input_scale();
    ParallelFor(
        layer_.rows * layer_.in, 1 << 14, [&](int64_t begin, int64_t end) {
          ToBytes(x + begin, end - begin, inverse, zero_point, q + begin);
        });
    return matmul_.Run({q, packed_.data(), offsets_.data(),
                        args.outputs[0].data, scales_.data()},
                       scratch);
  }

  int64_t scratch_bytes() const override {
    return bytes_ + std::max(matmul_.scratch_bytes(), pack_.scratch_bytes());
  }

 private:
  absl::Status Prepare(const KernelArgs& args, void* scratch) {
    TAMER_RETURN_IF_ERROR(
        CheckScales(args.inputs[kWeightScale], layer_.params.input_scale()));
    TAMER_RETURN_IF_ERROR(
        pack_.Run({args.inputs[kWeight].data, packed_.data()}, scratch));
    const int8_t* weight = args.inputs[kWeight].int8s();
    const op::QuantizedDense& params = layer_.params;
    // First the sums of the units' weights, exact in floats: they are below
    // 2^24.
    std::fill(offsets_.begin(), offsets_.end(), 0.0f);
    for (int64_t i = 0; i < layer_.in; ++i) {
      for (int64_t j = 0; j < layer_.units; ++j) {
        offsets_[j] += static_cast<float>(weight[i * layer_.units + j]);
      }
    }
    for (int64_t j = 0; j < layer_.units; ++j) {
      scales_[j] = params.input_scale() * args.inputs[kWeightScale].floats()[j];
      const double bias = params.bias() ? args.inputs[kBias].floats()[j] : 0;
      offsets_[j] = static_cast<float>(
          bias / scales_[j] - double{offsets_[j]} * params.input_zero_point());
    }
    prepared_ = true;
    return absl::OkStatus();
  }

  const Layer layer_;
  Primitive pack_, matmul_;
  Buffer packed_;  // the weights, in the order that oneDNN likes best
  std::vector<float> scales_, offsets_;
  int64_t bytes_ = 0;  // of x in scratch
  bool prepared_ = false;
};

// On any other: the same numbers as floats. Right, but no faster than Dense.
class FloatKernel : public Kernel {
 public:
  FloatKernel(const Layer& layer, std::unique_ptr<Kernel> matmul)
      : layer_(layer),
        matmul_(std::move(matmul)),
        weight_(layer.in * layer.units),
        bytes_(Aligned(layer.rows * layer.in * SizeOf(DType::kFloat))) {
    inputs_.resize(layer.params.bias() ? 3 : 2);
    inputs_[0].shape = Shape({layer.rows, layer.in});
    inputs_[1] = {DType::kFloat, Shape({layer.in, layer.units}),
                  weight_.data()};
  }

  absl::Status Run(const KernelArgs& args) override {
    if (!prepared_) TAMER_RETURN_IF_ERROR(Prepare(args));
    const float* x = args.inputs[0].floats();
    auto* steps = static_cast<float*>(args.scratch);
    const int32_t zero_point = layer_.params.input_zero_point();
    const float scale = layer_.params.input_scale();
    ParallelFor(layer_.rows * layer_.in, 1 << 14,
                [&](int64_t begin, int64_t end) {
                  ToSteps(x + begin, end - begin, 1 / scale, zero_point, scale,
                          steps + begin);
                });
    inputs_[0].data = steps;
    if (layer_.params.bias()) inputs_[2] = args.inputs[kBias];
    KernelArgs product = args;
    product.inputs = inputs_;
    product.scratch = static_cast<char*>(args.scratch) + bytes_;
    return matmul_->Run(product);
  }

  int64_t scratch_bytes() const override {
    return bytes_ + matmul_->scratch_bytes();
  }

 private:
  absl::Status Prepare(const KernelArgs& args) {
    TAMER_RETURN_IF_ERROR(
        CheckScales(args.inputs[kWeightScale], layer_.params.input_scale()));
    const int8_t* weight = args.inputs[kWeight].int8s();
    const float* scales = args.inputs[kWeightScale].floats();
    for (int64_t i = 0; i < layer_.in * layer_.units; ++i) {
      weight_[i] = static_cast<float>(weight[i]) * scales[i % layer_.units];
    }
    prepared_ = true;
    return absl::OkStatus();
  }

  const Layer layer_;
  const std::unique_ptr<Kernel> matmul_;
  std::vector<float> weight_;
  std::vector<Tensor> inputs_;  // of matmul_
  const int64_t bytes_;         // of x in scratch
  bool prepared_ = false;
};

// Whether the CPU adds products of bytes in 32 bits. Without that oneDNN may
// add pairs of them in 16, which overflow.
bool MultipliesBytes() {
  const int vnni = static_cast<int>(dnnl::cpu_isa::avx512_core_vnni);
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & vnni) == vnni;
}

class QuantizedDenseOp : public TypedOp<op::QuantizedDense> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::QuantizedDense& dense = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckParams(dense));
    const Shape& x = inputs[0].shape;
    if (x.rank() < 2 || x.back() < 1 || x.back() > kMostInputs) {
      return Invalid("the input must be [B, ..., in] with in from 1 to ",
                     kMostInputs, ", but is ", x.ToString());
    }
    TensorType y = inputs[0];
    y.shape.set_dim(x.rank() - 1, dense.units());
    Inference result = Outputs({y});
    const auto add = [&](const char* name, DType type, Shape shape) {
      VariableSpec variable;
      variable.name = name;
      variable.type = {type, std::move(shape)};
      variable.trainable = variable.decay = false;
      result.variables.push_back(variable);
    };
    add("weight", DType::kInt8, Shape({x.back(), dense.units()}));
    add("weight_scale", DType::kFloat, Shape({dense.units()}));
    result.variables.back().initializer.mutable_constant()->set_value(1);
    if (dense.bias()) add("bias", DType::kFloat, Shape({dense.units()}));
    return result;
  }

  absl::Status Gradient(GradientBuilder&) const override {
    return absl::UnimplementedError(
        "QuantizedDense predicts and cannot learn; train a network of Dense "
        "and export it by --int8");
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    Layer layer;
    layer.params = Typed(*spec.params);
    layer.rows = spec.inputs[0].shape.rows();
    layer.in = spec.inputs[0].shape.back();
    layer.units = layer.params.units();
    if (MultipliesBytes()) {
      return CatchDnnl("matmul of bytes", [&]() -> std::unique_ptr<Kernel> {
        return std::make_unique<ByteKernel>(layer);
      });
    }
    MatmulShape shape;
    shape.a_rows = layer.rows;
    shape.a_columns = shape.b_rows = layer.in;
    shape.b_columns = layer.units;
    shape.bias = layer.params.bias();
    shape.activation = layer.params.activation();
    shape.slope = layer.params.slope();
    TAMER_ASSIGN_OR_RETURN(auto matmul,
                           MakeMatmul(shape, /*keep_argument=*/false));
    return std::make_unique<FloatKernel>(layer, std::move(matmul));
  }

  double Flops(const KernelSpec& spec) const override {
    return 2.0 * static_cast<double>(spec.outputs[0].shape.elements()) *
           static_cast<double>(spec.inputs[0].shape.back());
  }

 private:
  static absl::Status CheckParams(const op::QuantizedDense& dense) {
    TAMER_RETURN_IF_ERROR(
        CheckNumber(dense.units() >= 1 && dense.units() <= kWidest, "units",
                    static_cast<double>(dense.units()), "1 to 16777216"));
    // The inverse must be a number, too.
    TAMER_RETURN_IF_ERROR(
        CheckNumber(dense.input_scale() >= std::numeric_limits<float>::min() &&
                        std::isfinite(dense.input_scale()),
                    "input_scale", dense.input_scale(), "above 0"));
    return CheckNumber(
        dense.input_zero_point() >= 0 && dense.input_zero_point() <= 255,
        "input_zero_point", dense.input_zero_point(), "0 to 255");
  }
};

}  // namespace

TAMER_OP_FAMILY(quantized, QuantizedDenseOp)

}  // namespace tamer
