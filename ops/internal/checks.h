#ifndef TAMER_OPS_INTERNAL_CHECKS_H_
#define TAMER_OPS_INTERNAL_CHECKS_H_

#include <string>

#include "core/op/op.h"

// The rules that many ops' Infer share. Each returns an error that names the
// rule and shows what was seen.

namespace tamer {

using Types = absl::Span<const TensorType>;

// Exactly `count` inputs, called `names` in the message ("x, weight").
absl::Status CheckCount(Types inputs, size_t count, const char* names);
// All of FLOAT.
absl::Status CheckFloats(Types inputs);
// All of one shape.
absl::Status CheckSameShape(Types inputs);
// `holds`, or "`name` is `seen`; it must be `rule`".
absl::Status CheckNumber(bool holds, const char* name, double seen,
                         const char* rule);
// A finite number above 0.
absl::Status CheckAboveZero(const char* name, double seen);
// Of FLOAT and one shape [B, d].
absl::Status CheckVectors(Types inputs);
// A dimension's index from one that may count from the end.
absl::StatusOr<int> CheckAxis(int axis, int rank);

// An inference of outputs alone.
Inference Outputs(std::vector<TensorType> outputs);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_CHECKS_H_
