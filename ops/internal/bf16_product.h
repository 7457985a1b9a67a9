#ifndef TAMER_OPS_INTERNAL_BF16_PRODUCT_H_
#define TAMER_OPS_INTERNAL_BF16_PRODUCT_H_

#include "ops/internal/matmul.h"

namespace tamer {

// C = A B with factors in BF16 and sums in FP32, on one thread: A and B are
// rounded and packed, then multiplied by tiles. A parameter that changes in
// every step must be packed anew in each, and this packs at the speed of the
// caches; oneDNN 2.6 takes as long for that as for the product itself.
class Bf16Product {
 public:
  // Whether this machine and build can.
  static bool Can();

  // A as it lies, B as it lies or transposed, C as it lies; any strides.
  Bf16Product(const MatrixView& a, const MatrixView& b, const MatrixView& c);

  int64_t scratch_bytes() const;
  void Run(const float* a, const float* b, float* c, void* scratch) const;

 private:
  MatrixView a_, b_, c_;
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_BF16_PRODUCT_H_
