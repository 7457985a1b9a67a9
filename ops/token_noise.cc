// Tokens hidden or replaced, for a language model to tell.

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/token_noise.pb.h"

namespace tamer {
namespace {

int32_t MaskTokenOf(const op::MaskTokens& mask) {
  return mask.mask_token() < 0 ? mask.vocabulary() - 1 : mask.mask_token();
}

// Token `at` of the minibatch, changed by its own random numbers.
void MaskOne(const op::MaskTokens& mask, uint64_t key, uint64_t step,
             int64_t at, int32_t token, int32_t* noisy, int32_t* target) {
  constexpr uint64_t kSteps = uint64_t{1} << 32;
  const auto unit = [&](uint64_t index) {
    return static_cast<double>(RandomBelow(key, step, index, kSteps)) / kSteps;
  };
  const uint64_t index = static_cast<uint64_t>(at) * 3;
  *noisy = token;
  *target = -1;
  if (token < 0 || unit(index) >= mask.share()) return;
  *target = token;
  const double fate = unit(index + 1);
  const int32_t hider = MaskTokenOf(mask);
  if (fate < mask.masked()) {
    *noisy = hider;
  } else if (fate < double{mask.masked()} + mask.replaced()) {
    const auto other = static_cast<int32_t>(
        RandomBelow(key, step, index + 2, mask.vocabulary() - 1));
    *noisy = other < hider ? other : other + 1;
  }
}

class MaskTokensOp : public TypedOp<op::MaskTokens> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "tokens"));
    if (inputs[0].dtype != DType::kInt32 || inputs[0].shape.rank() != 2) {
      return Invalid("tokens must be INT32 [B, T], not ", inputs[0].ToString());
    }
    const op::MaskTokens& mask = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckNumber(mask.share() > 0 && mask.share() <= 1,
                                      "share", mask.share(), "in (0, 1]"));
    TAMER_RETURN_IF_ERROR(CheckNumber(mask.vocabulary() >= 2, "vocabulary",
                                      mask.vocabulary(), "at least 2"));
    TAMER_RETURN_IF_ERROR(CheckNumber(
        mask.mask_token() >= -1 && mask.mask_token() < mask.vocabulary(),
        "mask_token", mask.mask_token(), "-1 or a token of the vocabulary"));
    TAMER_RETURN_IF_ERROR(CheckNumber(mask.masked() >= 0 && mask.masked() <= 1,
                                      "masked", mask.masked(), "in [0, 1]"));
    TAMER_RETURN_IF_ERROR(CheckNumber(
        mask.replaced() >= 0 && mask.masked() + mask.replaced() <= 1 + 1e-6f,
        "replaced", mask.replaced(), "at least 0 and at most 1 - masked"));
    return Outputs({inputs[0], inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeKernel([n = spec.inputs[0].shape.elements(),
                       mask = Typed(*spec.params),
                       key = spec.stream_key](const KernelArgs& args) {
      const int32_t* tokens = args.inputs[0].ints();
      ParallelFor(n, 1 << 10, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          MaskOne(mask, key, args.step, i, tokens[i],
                  args.outputs[0].ints() + i, args.outputs[1].ints() + i);
        }
      });
      return absl::OkStatus();
    });
  }

  bool IdentityAtInference() const override { return true; }
};

}  // namespace

TAMER_OP_FAMILY(token_noise, MaskTokensOp)

}  // namespace tamer
