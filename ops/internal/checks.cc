#include "ops/internal/checks.h"

#include <cmath>

namespace tamer {

absl::Status CheckCount(Types inputs, size_t count, const char* names) {
  if (inputs.size() == count) return absl::OkStatus();
  return Invalid("takes ", count, count == 1 ? " input (" : " inputs (", names,
                 "), not ", inputs.size());
}

absl::Status CheckFloats(Types inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype != DType::kFloat) {
      return Invalid("input ", i, " must be FLOAT, not ", inputs[i].ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSameShape(Types inputs) {
  for (size_t i = 1; i < inputs.size(); ++i) {
    if (inputs[i].shape != inputs[0].shape) {
      return Invalid("inputs must be of one shape, but input 0 is ",
                     inputs[0].shape.ToString(), " and input ", i, " is ",
                     inputs[i].shape.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNumber(bool holds, const char* name, double seen,
                         const char* rule) {
  if (holds) return absl::OkStatus();
  return Invalid(name, " is ", seen, "; it must be ", rule);
}

absl::StatusOr<int> CheckAxis(int axis, int rank) {
  if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  return Invalid("axis ", axis, " is not a dimension of a tensor of rank ",
                 rank);
}

Inference Outputs(std::vector<TensorType> outputs) {
  Inference inference;
  inference.outputs = std::move(outputs);
  return inference;
}

absl::Status CheckAboveZero(const char* name, double seen) {
  return CheckNumber(seen > 0 && std::isfinite(seen), name, seen, "above 0");
}

absl::Status CheckVectors(Types inputs) {
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  TAMER_RETURN_IF_ERROR(CheckSameShape(inputs));
  if (inputs[0].shape.rank() != 2 || inputs[0].shape.back() < 1) {
    return Invalid("vectors must be [B, d], but are ",
                   inputs[0].shape.ToString());
  }
  return absl::OkStatus();
}

}  // namespace tamer
