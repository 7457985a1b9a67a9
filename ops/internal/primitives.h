#ifndef TAMER_OPS_INTERNAL_PRIMITIVES_H_
#define TAMER_OPS_INTERNAL_PRIMITIVES_H_

#include <dnnl.hpp>
#include <memory>

#include "core/op/op.h"
#include "proto/ops/dense.pb.h"

namespace tamer {

// Adds an activation to what follows a product.
void AppendActivation(op::Activation activation, float slope,
                      dnnl::post_ops* post);

// An elementwise activation of n floats, input 0 to output 0.
absl::StatusOr<std::unique_ptr<Kernel>> MakeActivation(
    op::Activation activation, float slope, int64_t n);

// Input 0 is dy, input 1 is GELU's argument x; output 0 is dx.
absl::StatusOr<std::unique_ptr<Kernel>> MakeGeluGradient(int64_t n);

// Softmax, or its logarithm, of each of `rows` rows.
absl::StatusOr<std::unique_ptr<Kernel>> MakeSoftmax(int64_t rows,
                                                    int64_t columns, bool log);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_PRIMITIVES_H_
