#ifndef TAMER_OPS_INTERNAL_LAYER_H_
#define TAMER_OPS_INTERNAL_LAYER_H_

#include <string>

#include "core/op/gradient.h"
#include "proto/ops/dense.pb.h"

// What layers have in common that own a weight and a bias and end in a fused
// activation.

namespace tamer {

// First weights where none are asked for: Xavier, or He for the ReLU family.
Initializer FirstWeights(op::Activation activation);

// The variable "bias", [units]; zero at first unless `given`.
VariableSpec BiasSpec(int64_t units, bool given, const Initializer& init);

// The gradient at the sum before the activation, from the one at output 0. For
// GELU output 1 is that sum.
absl::StatusOr<std::string> EmitBeforeActivation(GradientBuilder& g,
                                                 op::Activation activation,
                                                 float slope);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_LAYER_H_
