#include <omp.h>

#include <algorithm>

#include "core/base/parallel.h"
#include "ops/internal/activations.h"
#include "ops/internal/conv_primitives.h"
#include "ops/internal/conv_tiles.h"
#include "ops/internal/matmul.h"
#include "ops/internal/winograd.h"

namespace tamer {
namespace {

using dnnl::memory;

// Operations that are worth another part of the minibatch.
constexpr double kPartFlops = 4e8;
constexpr int64_t kMostParts = 16;

// Decided by the shape alone, as the parts' sums are rounded apart.
int64_t PartsOf(const ConvShape& shape) {
  int64_t parts = 2;
  while (parts < kMostParts && shape.flops() > kPartFlops * 2 * parts) {
    parts *= 2;
  }
  return std::min(parts, shape.batch);
}

class WeightGradientKernel : public Kernel {
 public:
  WeightGradientKernel(const ConvShape& shape, bool bias)
      : bias_(bias), team_(TeamSize()) {
    const OneThread guard;
    const int64_t parts = PartsOf(shape);
    for (int64_t p = 0; p < parts; ++p) {
      AddPart(shape, shape.batch * p / parts, shape.batch * (p + 1) / parts);
    }
    if (like_ != ConvDescs(shape).weight) {
      to_plain_ = NewReorder(like_, ConvDescs(shape).weight);
      plain_ = false;
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    char* scratch = static_cast<char*>(args.scratch);
    OnTeam(/*alone=*/false, [&](int thread, int threads) {
      threads = std::min(threads, team_);
      if (thread >= threads) return;
      for (size_t p = thread; p < parts_.size(); p += threads) {
        RunPart(p, args, scratch + SumsBytes() + thread * part_scratch_);
      }
    });
    for (const Part& part : parts_) TAMER_RETURN_IF_ERROR(part.status);
    const int64_t weights = static_cast<int64_t>(like_.get_size()) / 4;
    AddParts(args, 0, weights, SumOf(0, args));
    if (bias_) {
      AddParts(args, weight_bytes_ / 4, args.outputs[1].elements(),
               args.outputs[1].floats());
    }
    if (plain_) return absl::OkStatus();
    return to_plain_.Run({scratch, args.outputs[0].data},
                         scratch + SumsBytes());
  }

  int64_t scratch_bytes() const override {
    return SumsBytes() +
           std::max(team_ * part_scratch_, to_plain_.scratch_bytes());
  }

 private:
  struct Part {
    int64_t x_offset, y_offset;  // floats
    Primitive conv;
    absl::Status status;
  };

  void AddPart(ConvShape shape, int64_t begin, int64_t end) {
    shape.batch = end - begin;
    const ConvDescs descs(shape);
    const auto chosen = descs.BackwardWeights(bias_);
    std::vector<Primitive::Argument> arguments = {
        {DNNL_ARG_SRC, descs.x},
        {DNNL_ARG_DIFF_DST, descs.y},
        {DNNL_ARG_DIFF_WEIGHTS, chosen.diff_weights_desc()}};
    if (bias_) {
      arguments.push_back({DNNL_ARG_DIFF_BIAS, chosen.diff_bias_desc()});
      bias_bytes_ = Aligned(chosen.diff_bias_desc().get_size());
    }
    // All parts' sums lie alike, or they could not be added.
    if (!parts_.empty() && chosen.diff_weights_desc() != like_) {
      throw dnnl::error(dnnl_runtime_error, "parts of unlike order");
    }
    like_ = chosen.diff_weights_desc();
    weight_bytes_ = Aligned(like_.get_size());
    const int64_t x_sample = descs.x.get_size() / 4 / shape.batch;
    const int64_t y_sample = descs.y.get_size() / 4 / shape.batch;
    parts_.push_back({begin * x_sample, begin * y_sample,
                      Primitive(dnnl::convolution_backward_weights(chosen),
                                arguments, chosen.scratchpad_desc()),
                      absl::OkStatus()});
    part_scratch_ =
        std::max(part_scratch_, Aligned(parts_.back().conv.scratch_bytes()));
  }

  int64_t SumsBytes() const {
    return static_cast<int64_t>(parts_.size()) * (weight_bytes_ + bias_bytes_);
  }
  char* PartSums(size_t part, const KernelArgs& args) const {
    return static_cast<char*>(args.scratch) +
           static_cast<int64_t>(part) * (weight_bytes_ + bias_bytes_);
  }
  // Where part's sum of the weight's gradient goes; the first, in which the
  // others are added, may be the output itself.
  float* SumOf(size_t part, const KernelArgs& args) const {
    if (part == 0 && plain_) return args.outputs[0].floats();
    return reinterpret_cast<float*>(PartSums(part, args));
  }

  void RunPart(size_t p, const KernelArgs& args, void* scratch) {
    Part& part = parts_[p];
    float* x = args.inputs[0].floats() + part.x_offset;
    float* dy = args.inputs[1].floats() + part.y_offset;
    float* sum = SumOf(p, args);
    part.status =
        bias_ ? part.conv.Run({x, dy, sum, PartSums(p, args) + weight_bytes_},
                              scratch)
              : part.conv.Run({x, dy, sum}, scratch);
  }

  // Adds n floats at `offset` of all parts' sums up in `sum`.
  void AddParts(const KernelArgs& args, int64_t offset, int64_t n,
                float* sum) const {
    const auto at = [&](size_t p) {
      return offset == 0 ? SumOf(p, args)
                         : reinterpret_cast<float*>(PartSums(p, args)) + offset;
    };
    if (parts_.size() == 1 && sum == at(0)) return;
    ParallelFor(n, 1 << 13, [&](int64_t begin, int64_t end) {
      const float* first = at(0) + begin;
      const float* second = parts_.size() > 1 ? at(1) + begin : nullptr;
      ActivatedSum(op::LINEAR, 0, first, second, nullptr, end - begin,
                   sum + begin);
      for (size_t p = 2; p < parts_.size(); ++p) {
        ActivatedSum(op::LINEAR, 0, sum + begin, at(p) + begin, nullptr,
                     end - begin, sum + begin);
      }
    });
  }

  const bool bias_;
  const int team_;  // threads at most: each has a part of scratch
  std::vector<Part> parts_;
  memory::desc like_;  // how a part's sum lies
  bool plain_ = true;  // as the output does
  Primitive to_plain_;
  int64_t weight_bytes_ = 0, bias_bytes_ = 0, part_scratch_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Kernel>> MakeConvWeightGradient(
    const ConvShape& shape, bool bias) {
  if (CanWinograd(shape)) return MakeWinogradWeightGradient(shape, bias);
  if (CanTileConv(shape)) return MakeTiledWeightGradient(shape, bias);
  return CatchDnnl("convolution's weight gradient",
                   [&]() -> std::unique_ptr<Kernel> {
                     return std::make_unique<WeightGradientKernel>(shape, bias);
                   });
}

}  // namespace tamer
