#include "ops/internal/primitives.h"

#include "ops/internal/family.h"
#include "ops/internal/onednn.h"

namespace tamer {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;

// oneDNN's name of an activation, and its alpha.
struct Eltwise {
  algorithm kind;
  float alpha;
};

Eltwise EltwiseOf(op::Activation activation, float slope) {
  switch (activation) {
    case op::SIGMOID:
      return {algorithm::eltwise_logistic, 0};
    case op::TANH:
      return {algorithm::eltwise_tanh, 0};
    case op::RELU:
      return {algorithm::eltwise_relu, 0};
    case op::LEAKY_RELU:
      return {algorithm::eltwise_relu, slope};
    case op::GELU:
      return {algorithm::eltwise_gelu_erf, 0};
    case op::LINEAR:
      break;
  }
  return {algorithm::eltwise_linear, 1};
}

Primitive NewMatmul(const MatmulShape& shape, op::Activation fused) {
  const memory::desc a =
      MatrixDesc(shape.a_rows, shape.a_columns, shape.transpose_a);
  const memory::desc b =
      MatrixDesc(shape.b_rows, shape.b_columns, shape.transpose_b);
  const memory::desc c = MatrixDesc(shape.m(), shape.n(), false);
  const memory::desc bias = MatrixDesc(1, shape.n(), false);
  dnnl::primitive_attr attributes = UserScratchpad();
  if (fused != op::LINEAR) {
    const Eltwise eltwise = EltwiseOf(fused, shape.slope);
    dnnl::post_ops post;
    post.append_eltwise(1, eltwise.kind, eltwise.alpha, 0);
    attributes.set_post_ops(post);
  }
  std::vector<Primitive::Argument> arguments = {
      {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
  if (shape.bias) arguments.push_back({DNNL_ARG_BIAS, bias});
  const dnnl::matmul::desc desc = shape.bias ? dnnl::matmul::desc(a, b, bias, c)
                                             : dnnl::matmul::desc(a, b, c);
  const dnnl::matmul::primitive_desc chosen(desc, attributes, Engine());
  return Primitive(dnnl::matmul(chosen), std::move(arguments),
                   chosen.scratchpad_desc());
}

class MatmulKernel : public Kernel {
 public:
  MatmulKernel(Primitive matmul, bool bias)
      : matmul_(std::move(matmul)), bias_(bias) {}

  absl::Status Run(const KernelArgs& args) override {
    void* a = args.inputs[0].data;
    void* b = args.inputs[1].data;
    void* c = args.outputs[0].data;
    return bias_ ? matmul_.Run({a, b, c, args.inputs[2].data}, args.scratch)
                 : matmul_.Run({a, b, c}, args.scratch);
  }
  int64_t scratch_bytes() const override { return matmul_.scratch_bytes(); }

 private:
  Primitive matmul_;
  bool bias_;
};

// A matmul into output 1, then the activation from there to output 0.
class KeepingKernel : public Kernel {
 public:
  KeepingKernel(std::unique_ptr<Kernel> matmul,
                std::unique_ptr<Kernel> activation)
      : matmul_(std::move(matmul)), activation_(std::move(activation)) {}

  absl::Status Run(const KernelArgs& args) override {
    KernelArgs part = args;
    part.outputs = args.outputs.subspan(1, 1);
    TAMER_RETURN_IF_ERROR(matmul_->Run(part));
    part.inputs = args.outputs.subspan(1, 1);
    part.outputs = args.outputs.subspan(0, 1);
    return activation_->Run(part);
  }
  int64_t scratch_bytes() const override {
    return std::max(matmul_->scratch_bytes(), activation_->scratch_bytes());
  }

 private:
  std::unique_ptr<Kernel> matmul_, activation_;
};

// A kernel over input 0 and output 0.
std::unique_ptr<Kernel> Unary(Primitive primitive) {
  const int64_t scratch = primitive.scratch_bytes();
  return MakeKernel(
      [primitive = std::move(primitive)](const KernelArgs& args) mutable {
        return primitive.Run({args.inputs[0].data, args.outputs[0].data},
                             args.scratch);
      },
      scratch);
}

dnnl::eltwise_forward::primitive_desc EltwiseForward(op::Activation activation,
                                                     float slope, int64_t n) {
  const Eltwise eltwise = EltwiseOf(activation, slope);
  return dnnl::eltwise_forward::primitive_desc(
      {prop_kind::forward_training, eltwise.kind, PlainDesc({n}), eltwise.alpha,
       0},
      UserScratchpad(), Engine());
}

// A kernel from what may throw: `make` gives it.
template <typename Make>
absl::StatusOr<std::unique_ptr<Kernel>> Caught(const char* what, Make make) {
  return CatchDnnl(what, std::move(make));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Kernel>> MakeMatmul(const MatmulShape& shape,
                                                   bool keep_argument) {
  TAMER_ASSIGN_OR_RETURN(
      Primitive matmul, CatchDnnl("matmul", [&] {
        return NewMatmul(shape, keep_argument ? op::LINEAR : shape.activation);
      }));
  std::unique_ptr<Kernel> kernel =
      std::make_unique<MatmulKernel>(std::move(matmul), shape.bias);
  if (!keep_argument) return kernel;
  TAMER_ASSIGN_OR_RETURN(
      std::unique_ptr<Kernel> activation,
      MakeActivation(shape.activation, shape.slope, shape.m() * shape.n()));
  kernel =
      std::make_unique<KeepingKernel>(std::move(kernel), std::move(activation));
  return kernel;
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeActivation(
    op::Activation activation, float slope, int64_t n) {
  return Caught("activation", [&] {
    const auto chosen = EltwiseForward(activation, slope, n);
    return Unary(Primitive(
        dnnl::eltwise_forward(chosen),
        {{DNNL_ARG_SRC, PlainDesc({n})}, {DNNL_ARG_DST, PlainDesc({n})}},
        chosen.scratchpad_desc()));
  });
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeGeluGradient(int64_t n) {
  return Caught("GELU's gradient", [&] {
    const memory::desc desc = PlainDesc({n});
    const dnnl::eltwise_backward::primitive_desc chosen(
        {algorithm::eltwise_gelu_erf, desc, desc, 0, 0}, UserScratchpad(),
        Engine(), EltwiseForward(op::GELU, 0, n));
    Primitive primitive(dnnl::eltwise_backward(chosen),
                        {{DNNL_ARG_DIFF_DST, desc},
                         {DNNL_ARG_SRC, desc},
                         {DNNL_ARG_DIFF_SRC, desc}},
                        chosen.scratchpad_desc());
    const int64_t scratch = primitive.scratch_bytes();
    return MakeKernel(
        [primitive = std::move(primitive)](const KernelArgs& args) mutable {
          return primitive.Run(
              {args.inputs[0].data, args.inputs[1].data, args.outputs[0].data},
              args.scratch);
        },
        scratch);
  });
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeSoftmax(int64_t rows,
                                                    int64_t columns, bool log) {
  return Caught("softmax", [&] {
    const memory::desc desc = PlainDesc({rows, columns});
    const std::vector<Primitive::Argument> arguments = {{DNNL_ARG_SRC, desc},
                                                        {DNNL_ARG_DST, desc}};
    if (log) {
      const dnnl::logsoftmax_forward::primitive_desc chosen(
          {prop_kind::forward_inference, desc, 1}, UserScratchpad(), Engine());
      return Unary(Primitive(dnnl::logsoftmax_forward(chosen), arguments,
                             chosen.scratchpad_desc()));
    }
    const dnnl::softmax_forward::primitive_desc chosen(
        {prop_kind::forward_inference, desc, 1}, UserScratchpad(), Engine());
    return Unary(Primitive(dnnl::softmax_forward(chosen), arguments,
                           chosen.scratchpad_desc()));
  });
}

}  // namespace tamer
