#ifndef TAMER_OPS_INTERNAL_MATMUL_H_
#define TAMER_OPS_INTERNAL_MATMUL_H_

#include <omp.h>

#include <memory>

#include "core/base/parallel.h"
#include "core/op/op.h"
#include "ops/internal/onednn.h"
#include "proto/ops/dense.pb.h"
#include "proto/precision.pb.h"

namespace tamer {

// C = activation(A * B + bias), all row-major; A and B as they lie in memory
// are [a_rows, a_columns] and [b_rows, b_columns] and may be used transposed.
struct MatmulShape {
  int64_t a_rows = 0, a_columns = 0, b_rows = 0, b_columns = 0;
  bool transpose_a = false, transpose_b = false;
  bool bias = false;
  op::Activation activation = op::LINEAR;
  float slope = 0;
  // If not LINEAR, a further input z of C's shape, and C is multiplied by this
  // activation's derivative at the argument that gave z; GELU's at z itself.
  op::Activation slope_of = op::LINEAR;
  Precision precision = FP32;
  // Whether B and the bias keep the values of the first run.
  bool fixed_b = false;

  int64_t m() const { return transpose_a ? a_columns : a_rows; }
  int64_t k() const { return transpose_a ? a_rows : a_columns; }
  int64_t n() const { return transpose_b ? b_rows : b_columns; }
};

// A kernel over inputs A, B[, bias][, z] and output C, bias and activation
// fused. For GELU with `keep_argument` output 1 gets the sum before the
// activation, which GELU's gradient needs.
//
// If B is a large parameter and the minibatch small, each thread multiplies by
// its own half of B's rows (see OwnedPart): half of the columns of C where B is
// used transposed; else half of the inner dimension, the two halves' products
// being added in a fixed order. So the bits don't depend on the threads.
absl::StatusOr<std::unique_ptr<Kernel>> MakeMatmul(const MatmulShape& shape,
                                                   bool keep_argument);

// Turns these columns of C, of whose products the sums stand in output 0, into
// what the kernel makes of them: adds the bias, which is input 2, and
// activates.
void ActivateSums(const MatmulShape& shape, const KernelArgs& args,
                  IndexRange columns);

// A matrix of floats in memory, or its transpose, whose rows are `stride`
// apart.
struct MatrixView {
  int64_t rows = 0, columns = 0, stride = 0;
  bool transposed = false;
};

// What a product does beside multiplying.
struct ProductSettings {
  bool bias = false;
  op::Activation activation = op::LINEAR;
  float slope = 0;
  // C = scale * A B, added to what is in C if `add`.
  float scale = 1;
  bool add = false;
  // Whether A is copied together first. A product reads it in an order that no
  // cache foresees, which is slow unless A stands in the core's own cache.
  bool gather_a = false;
  Precision precision = FP32;
};

// One oneDNN matmul on views; with BF16 it rounds the factors first. On as many
// threads as the team has when it is made; run it on such a team.
class Product {
 public:
  // May throw dnnl::error: call within CatchDnnl.
  Product(const MatrixView& a, const MatrixView& b, const MatrixView& c,
          const ProductSettings& settings);

  int64_t scratch_bytes() const { return scratch_bytes_; }
  absl::Status Run(const float* a, const float* b, const float* bias, float* c,
                   void* scratch);

 private:
  // One factor's rounding, if any, and where in scratch it goes.
  struct Factor {
    Primitive reorder;
    int64_t offset = -1;
  };
  absl::Status Round(Factor& factor, const float* from, void* scratch,
                     void** rounded);
  int64_t Reserve(int64_t bytes);

  MatrixView gathered_;  // A, if it is gathered
  Factor a_, b_;
  Primitive matmul_;
  bool bias_;
  int64_t matmul_offset_ = 0;
  int64_t scratch_bytes_ = 0;
};

// While it lives, if `applies`, Products are made for one thread.
class OneThread {
 public:
  explicit OneThread(bool applies = true) : before_(omp_get_max_threads()) {
    if (applies) omp_set_num_threads(1);
  }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  const int before_;
};

// An error unless this machine computes in `precision`.
absl::Status CheckPrecision(Precision precision);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_MATMUL_H_
