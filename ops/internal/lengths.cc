#include "ops/internal/lengths.h"

namespace tamer {

absl::Status CheckLengthsType(const TensorType& lengths, int64_t batch) {
  const TensorType expected{DType::kInt32, Shape({batch})};
  if (lengths == expected) return absl::OkStatus();
  return Invalid("lengths must be ", expected.ToString(), ", but are ",
                 lengths.ToString());
}

absl::Status CheckSequences(Types inputs) {
  if (inputs.size() != 2) {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x, and maybe lengths"));
  }
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
  const Shape& x = inputs[0].shape;
  if (x.rank() != 3 || x.dim(1) < 1 || x.dim(2) < 1) {
    return Invalid("the input must be [B, T, features], but is ", x.ToString());
  }
  return inputs.size() == 2 ? CheckLengthsType(inputs[1], x.dim(0))
                            : absl::OkStatus();
}

absl::Status CheckLengths(const int32_t* lengths, int64_t batch,
                          int64_t steps) {
  for (int64_t b = 0; lengths != nullptr && b < batch; ++b) {
    if (lengths[b] >= 0 && lengths[b] <= steps) continue;
    return Invalid("the length of sample ", b, " is ", lengths[b],
                   "; it must be 0 to ", steps, ", the steps there are");
  }
  return absl::OkStatus();
}

}  // namespace tamer
