// What a language model is not asked for: the prompt.

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/prompt.pb.h"

namespace tamer {
namespace {

class IgnorePromptOp : public TypedOp<op::IgnorePrompt> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "targets, tokens"));
    for (const TensorType& input : inputs) {
      if (input.dtype != DType::kInt32 || input.shape.rank() != 2) {
        return Invalid("targets and tokens must be INT32 [B, T], not ",
                       inputs[0].ToString(), " and ", inputs[1].ToString());
      }
    }
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
    const int32_t separator = Typed(params).separator();
    if (!Typed(params).has_separator()) {
      return Invalid("no separator is given; name the token that ends prompts");
    }
    TAMER_RETURN_IF_ERROR(
        CheckNumber(separator >= 0, "separator", separator, "at least 0"));
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    return MakeKernel(
        [rows = shape.dim(0), length = shape.dim(1),
         separator = Typed(*spec.params).separator()](const KernelArgs& args) {
          ParallelFor(rows, 16, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              const int32_t* targets = args.inputs[0].ints() + r * length;
              const int32_t* tokens = args.inputs[1].ints() + r * length;
              int32_t* asked = args.outputs[0].ints() + r * length;
              bool answer = false;
              for (int64_t t = 0; t < length; ++t) {
                answer |= tokens[t] == separator;
                asked[t] = answer ? targets[t] : -1;
              }
            }
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(prompt, IgnorePromptOp)

}  // namespace tamer
