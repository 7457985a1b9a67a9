// Dropout and Sample: random streams by counter, so that a step gives the same
// numbers on every run and after every resume.

#include "core/base/random.h"

#include <cmath>
#include <initializer_list>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "core/op/layout.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/prefetch.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

// Of `elements` that are worked on block by block, asks for those that a thread
// at `begin` comes to soon: to be read, and to be written.
void Foresee(int64_t elements, int64_t begin, int64_t block, const float* read,
             std::initializer_list<const float*> written) {
  const int64_t ahead = begin + 1024;
  if (ahead + block > elements) return;
  Prefetch(read + ahead, block);
  for (const float* to : written) PrefetchToWrite(to + ahead, block);
}

// `u` are uniform numbers.
TAMER_VECTORIZED void Bernoulli(const float* u, const float* p, int64_t n,
                                float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = u[i] < p[i] ? 1.0f : 0.0f;
}

TAMER_VECTORIZED void AddScaled(const float* x, float scale, int64_t n,
                                float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] + scale * y[i];
}

// `y` holds normal numbers and gets the samples.
TAMER_VECTORIZED void Rectified(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float sample = x[i] + y[i] * std::sqrt(1 / (1 + Exp(-x[i])));
    y[i] = sample > 0 ? sample : 0.0f;
  }
}

// A random word decides about two elements, 64 apart: 16 bits are enough for a
// rate.
constexpr int64_t kDropBlock = 2 * kRandomBlock;

// 2^16 times the probability of zero, and what the others are multiplied by.
struct DropRate {
  uint32_t zeros;
  float keep;
};

TAMER_VECTORIZED void DropElements(const uint32_t* words, DropRate rate,
                                   const float* x, int64_t n, float* mask,
                                   float* y) {
  const int64_t low = std::min(n, kRandomBlock);
  for (int64_t i = 0; i < low; ++i) {
    mask[i] = (words[i] & 0xffff) < rate.zeros ? 0.0f : rate.keep;
    y[i] = x[i] * mask[i];
  }
  for (int64_t i = kRandomBlock; i < n; ++i) {
    mask[i] = (words[i - kRandomBlock] >> 16) < rate.zeros ? 0.0f : rate.keep;
    y[i] = x[i] * mask[i];
  }
}

class DropoutOp : public TypedOp<op::Dropout> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float rate = Typed(params).rate();
    TAMER_RETURN_IF_ERROR(
        CheckNumber(rate >= 0 && rate < 1, "rate", rate, "in [0, 1)"));
    return Outputs({inputs[0], inputs[0]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::Mul(), {g.OutputGradient(0), g.Output(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const double rate = Typed(*spec.params).rate();
    const DropRate drop = {static_cast<uint32_t>(std::lround(rate * 65536)),
                           static_cast<float>(1 / (1 - rate))};
    return MakeKernel([elements = spec.outputs[0].shape.elements(), drop,
                       key = spec.stream_key](const KernelArgs& args) {
      const float* x = args.inputs[0].floats();
      float *y = args.outputs[0].floats(), *mask = args.outputs[1].floats();
      ForRandomBlocks(
          elements, kDropBlock, [&](int64_t block, int64_t begin, int64_t n) {
            alignas(64) uint32_t words[kRandomBlock];
            RandomWords(key, args.step, block, words);
            Foresee(elements, begin, kDropBlock, x, {y, mask});
            DropElements(words, drop, x + begin, n, mask + begin, y + begin);
          });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }

  std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                         int) const override {
    return CopyOf(params);
  }
  bool IdentityAtInference() const override { return true; }
};

class SampleOp : public TypedOp<op::Sample> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float stddev = Typed(params).stddev();
    TAMER_RETURN_IF_ERROR(CheckNumber(stddev >= 0 && std::isfinite(stddev),
                                      "stddev", stddev, "at least 0"));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Sample& sample = Typed(*spec.params);
    if (sample.distribution() == op::Sample::BERNOULLI) {
      return MakeKernel([elements = spec.outputs[0].shape.elements(),
                         key = spec.stream_key](const KernelArgs& args) {
        const float* p = args.inputs[0].floats();
        float* y = args.outputs[0].floats();
        ForRandomBlocks(elements, kRandomBlock,
                        [&](int64_t block, int64_t begin, int64_t n) {
                          alignas(64) float uniform[kRandomBlock];
                          UniformBlock(key, args.step, block, uniform);
                          Foresee(elements, begin, kRandomBlock, p, {y});
                          Bernoulli(uniform, p + begin, n, y + begin);
                        });
        return absl::OkStatus();
      });
    }
    return MakeKernel(
        [n = spec.outputs[0].shape.elements(),
         rectified = sample.distribution() == op::Sample::RECTIFIED,
         stddev = sample.stddev(),
         key = spec.stream_key](const KernelArgs& args) {
          float* y = args.outputs[0].floats();
          FillGaussian(key, args.step, n, y);
          ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
            const float* x = args.inputs[0].floats() + begin;
            if (rectified) {
              Rectified(x, end - begin, y + begin);
            } else {
              AddScaled(x, stddev, end - begin, y + begin);
            }
          });
          return absl::OkStatus();
        });
  }
};

}  // namespace

TAMER_OP_FAMILY(random, DropoutOp, SampleOp)

}  // namespace tamer
