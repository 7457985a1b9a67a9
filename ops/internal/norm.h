#ifndef TAMER_OPS_INTERNAL_NORM_H_
#define TAMER_OPS_INTERNAL_NORM_H_

#include <string>

#include "core/op/op.h"
#include "ops/internal/checks.h"

// What the normalising ops' Infer share.

namespace tamer {

// A vector of `size` that begins with `value` everywhere. Weight decay, which
// is for what multiplies inputs, spares it.
inline VariableSpec NormVariable(const char* name, int64_t size, float value) {
  VariableSpec spec;
  spec.name = name;
  spec.type.shape = Shape({size});
  spec.initializer.mutable_constant()->set_value(value);
  spec.decay = false;
  return spec;
}

inline absl::Status CheckEpsilon(float epsilon) {
  return CheckNumber(epsilon > 0 && epsilon < 1, "epsilon", epsilon,
                     "above 0 and below 1");
}

// Input `i`, called `name`, must be FLOAT of this shape.
inline absl::Status CheckShape(Types inputs, int i, const char* name,
                               const Shape& shape) {
  const TensorType expected{DType::kFloat, shape};
  if (inputs[i] == expected) return absl::OkStatus();
  return Invalid(name, " must be ", expected.ToString(), ", but is ",
                 inputs[i].ToString());
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_NORM_H_
