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

void AppendActivation(op::Activation activation, float slope,
                      dnnl::post_ops* post) {
  const Eltwise eltwise = EltwiseOf(activation, slope);
  post->append_eltwise(1, eltwise.kind, eltwise.alpha, 0);
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
