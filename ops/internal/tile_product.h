#ifndef TAMER_OPS_INTERNAL_TILE_PRODUCT_H_
#define TAMER_OPS_INTERNAL_TILE_PRODUCT_H_

#include "ops/internal/matmul.h"

namespace tamer {

// C = A B by tiles, on one thread, sums in FP32, for a parameter B that changes
// in every step: both factors are packed, with BF16 rounded on the way, at the
// speed of the caches. oneDNN 2.6 takes as long to round and reorder B as for
// the product itself; in FP32, where it needn't, it is a little faster than
// this unless B is transposed. What is zero in six rows of A costs nothing
// here.
class TileProduct {
 public:
  // Whether this machine and build can.
  static bool Can(Precision precision);

  // A as it lies, B as it lies or transposed, C as it lies; any strides.
  TileProduct(const MatrixView& a, const MatrixView& b, const MatrixView& c,
              Precision precision);

  int64_t scratch_bytes() const;
  // Whether A has so many zeros that in FP32 this is the faster way.
  bool Pays(const float* a, void* scratch) const;
  void Run(const float* a, const float* b, float* c, void* scratch) const;

 private:
  template <typename Kind>
  void RunAs(const float* a, const float* b, float* c, void* scratch) const;

  // Room for the depths that are kept.
  int32_t* Kept(void* scratch) const;

  MatrixView a_, b_, c_;
  Precision precision_;
  int64_t depth_;                     // in elements of a factor
  int64_t width_;                     // columns of B that are packed at a time
  int64_t left_bytes_, right_bytes_;  // of the packed factors
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_TILE_PRODUCT_H_
