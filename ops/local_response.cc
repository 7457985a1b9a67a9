// LocalResponseNorm: elements are divided by what their neighbours in channel
// have. Krizhevsky, Sutskever and Hinton 2012.

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/channels.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/norm.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 11;  // powers take long

struct Response {
  ChannelLayout layout;
  int64_t half = 2;
  float alpha = 0, beta = 0, k = 1;  // alpha divided by the window's size
};

Response ResponseOf(const op::LocalResponseNorm& params,
                    const ChannelLayout& layout) {
  Response response;
  response.layout = layout;
  response.half = params.size() / 2;
  response.alpha = params.alpha() / static_cast<float>(params.size());
  response.beta = params.beta();
  response.k = params.k();
  return response;
}

// Calls body(sample, channel) for all planes [inner] of a tensor.
template <typename Body>
void ForPlanes(const ChannelLayout& layout, const Body& body) {
  // ParallelFor cuts at multiples of 16.
  ParallelFor(layout.outer * layout.channels * 16,
              kGrain * 16 / layout.inner + 1, [&](int64_t begin, int64_t end) {
                for (int64_t p = begin / 16; p < end / 16; ++p) {
                  body(p / layout.channels, p % layout.channels);
                }
              });
}

// The sum over channel c's window of term(element of the same place).
template <typename Term>
float WindowSum(const Response& r, int64_t sample, int64_t c, int64_t i,
                const Term& term) {
  const int64_t low = std::max<int64_t>(0, c - r.half);
  const int64_t high = std::min(r.layout.channels - 1, c + r.half);
  float sum = 0;
  for (int64_t k = low; k <= high; ++k) {
    sum += term((sample * r.layout.channels + k) * r.layout.inner + i);
  }
  return sum;
}

absl::Status CheckImage(const Shape& x) {
  if (x.rank() >= 3) return absl::OkStatus();
  return Invalid("the input must be [B, channels, ...], but is ", x.ToString());
}

absl::Status CheckParams(const op::LocalResponseNorm& norm) {
  TAMER_RETURN_IF_ERROR(CheckNumber(
      norm.size() >= 1 && norm.size() < (1 << 24) && norm.size() % 2 == 1,
      "size", norm.size(), "odd, from 1 on"));
  TAMER_RETURN_IF_ERROR(
      CheckNumber(norm.alpha() >= 0, "alpha", norm.alpha(), "at least 0"));
  TAMER_RETURN_IF_ERROR(
      CheckNumber(norm.beta() >= 0, "beta", norm.beta(), "at least 0"));
  return CheckNumber(norm.k() > 0, "k", norm.k(), "above 0");
}

class LocalResponseNormOp : public TypedOp<op::LocalResponseNorm> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckImage(inputs[0].shape));
    TAMER_RETURN_IF_ERROR(CheckParams(Typed(params)));
    TAMER_RETURN_IF_ERROR(ChannelLayoutOf(inputs[0].shape, false).status());
    return Outputs({inputs[0], inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::LocalResponseNormGradient gradient;
    *gradient.mutable_of() = Typed(g.params());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient,
               {g.OutputGradient(0), g.Input(0), g.Output(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(const ChannelLayout layout,
                           ChannelLayoutOf(spec.inputs[0].shape, false));
    return MakeKernel(
        [r = ResponseOf(Typed(*spec.params), layout)](const KernelArgs& args) {
          const float* x = args.inputs[0].floats();
          float* y = args.outputs[0].floats();
          float* s = args.outputs[1].floats();
          ForPlanes(r.layout, [&](int64_t sample, int64_t c) {
            const int64_t inner = r.layout.inner;
            const int64_t first = (sample * r.layout.channels + c) * inner;
            for (int64_t i = 0; i < inner; ++i) {
              const float sum = WindowSum(
                  r, sample, c, i, [&](int64_t at) { return x[at] * x[at]; });
              s[first + i] = r.k + r.alpha * sum;
              y[first + i] = x[first + i] * std::pow(s[first + i], -r.beta);
            }
          });
          return absl::OkStatus();
        });
  }
};

// dx = dy s^-beta - 2 alpha beta x * sum over the window of dy x s^(-beta - 1).
class LocalResponseNormGradientOp
    : public TypedOp<op::LocalResponseNormGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "dy, x, s"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    TAMER_RETURN_IF_ERROR(CheckImage(inputs[0].shape));
    TAMER_RETURN_IF_ERROR(CheckParams(Typed(params).of()));
    TAMER_RETURN_IF_ERROR(ChannelLayoutOf(inputs[0].shape, false).status());
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(const ChannelLayout layout,
                           ChannelLayoutOf(spec.inputs[0].shape, false));
    return MakeKernel(
        [r = ResponseOf(Typed(*spec.params).of(), layout)](
            const KernelArgs& args) {
          Run(r, args);
          return absl::OkStatus();
        },
        layout.elements() * static_cast<int64_t>(sizeof(float)));
  }

 private:
  static void Run(const Response& r, const KernelArgs& args) {
    const float* dy = args.inputs[0].floats();
    const float* x = args.inputs[1].floats();
    const float* s = args.inputs[2].floats();
    float* dx = args.outputs[0].floats();
    auto* share = static_cast<float*>(args.scratch);
    const int64_t inner = r.layout.inner;
    ForPlanes(r.layout, [&](int64_t sample, int64_t c) {
      const int64_t first = (sample * r.layout.channels + c) * inner;
      for (int64_t at = first; at < first + inner; ++at) {
        dx[at] = dy[at] * std::pow(s[at], -r.beta);
        share[at] = dx[at] * x[at] / s[at];
      }
    });
    ForPlanes(r.layout, [&](int64_t sample, int64_t c) {
      const int64_t first = (sample * r.layout.channels + c) * inner;
      for (int64_t i = 0; i < inner; ++i) {
        const float sum =
            WindowSum(r, sample, c, i, [&](int64_t at) { return share[at]; });
        dx[first + i] -= 2 * r.alpha * r.beta * x[first + i] * sum;
      }
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(local_response, LocalResponseNormOp,
                LocalResponseNormGradientOp)

}  // namespace tamer
