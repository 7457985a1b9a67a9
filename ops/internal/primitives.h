#ifndef TAMER_OPS_INTERNAL_PRIMITIVES_H_
#define TAMER_OPS_INTERNAL_PRIMITIVES_H_

#include <memory>

#include "core/op/op.h"
#include "proto/ops/dense.pb.h"

namespace tamer {

// C = activation(A * B + bias), all row-major; A and B as they lie in memory
// are [a_rows, a_columns] and [b_rows, b_columns] and may be used transposed.
struct MatmulShape {
  int64_t a_rows = 0, a_columns = 0, b_rows = 0, b_columns = 0;
  bool transpose_a = false, transpose_b = false;
  bool bias = false;
  op::Activation activation = op::LINEAR;
  float slope = 0;

  int64_t m() const { return transpose_a ? a_columns : a_rows; }
  int64_t k() const { return transpose_a ? a_rows : a_columns; }
  int64_t n() const { return transpose_b ? b_rows : b_columns; }
};

// A kernel over inputs A, B[, bias] and output C: one oneDNN primitive, bias
// and activation fused. For GELU with `keep_argument` output 1 gets the sum
// before the activation, which GELU's gradient needs.
absl::StatusOr<std::unique_ptr<Kernel>> MakeMatmul(const MatmulShape& shape,
                                                   bool keep_argument);

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
