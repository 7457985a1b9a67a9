#ifndef TAMER_OPS_INTERNAL_LENGTHS_H_
#define TAMER_OPS_INTERNAL_LENGTHS_H_

#include <cstdint>

#include "core/op/op.h"
#include "ops/internal/checks.h"

// Sequences x [B, T, features], whose true lengths may be given by a second
// input, INT32 [B].

namespace tamer {

// x [B, T, features] and maybe lengths.
absl::Status CheckSequences(Types inputs);
// INT32 [batch].
absl::Status CheckLengthsType(const TensorType& lengths, int64_t batch);

// A kernel's lengths; null if it has no such input.
inline const int32_t* LengthsOf(const KernelArgs& args, size_t input) {
  return args.inputs.size() > input && args.inputs[input].dtype == DType::kInt32
             ? args.inputs[input].ints()
             : nullptr;
}
inline int64_t LengthAt(const int32_t* lengths, int64_t b, int64_t steps) {
  return lengths == nullptr ? steps : lengths[b];
}

// An error that names value and sample if a length is not in [0, steps].
absl::Status CheckLengths(const int32_t* lengths, int64_t batch, int64_t steps);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_LENGTHS_H_
