#include "ops/internal/bf16_product.h"

#include "core/base/tensor.h"
#include "ops/internal/panels.h"

namespace tamer {

#if TAMER_TILES

namespace tiles {
namespace {

TAMER_BEGIN_TILES

void Multiply(const MatrixView& a_view, const MatrixView& b_view,
              const MatrixView& c_view, const float* a, const float* b,
              float* c, uint32_t* left, uint32_t* right) {
  const int64_t depth = (a_view.columns + 1) / 2;
  PackLeft(a, a_view, depth, left);
  if (b_view.transposed) {
    PackRightTransposed<Pairs>(b, b_view, right);
  } else {
    PackRight<Pairs>(b, b_view, right);
  }
  const Strip<uint32_t> strip = {left, depth, 1, depth};
  AllTiles<Pairs>({&strip, 1, right, depth, c_view.columns}, {0, a_view.rows},
                  StoreSinks{c, c_view.stride});
}

TAMER_END_TILES

}  // namespace
}  // namespace tiles

bool Bf16Product::Can() { return HasTiles(/*bf16=*/true); }

int64_t Bf16Product::scratch_bytes() const {
  const int64_t depth = (a_.columns + 1) / 2;
  const int64_t element = sizeof(uint32_t);
  return Aligned(a_.rows * depth * element) +
         Aligned(depth * tiles::InLanes(c_.columns) * element);
}

void Bf16Product::Run(const float* a, const float* b, float* c,
                      void* scratch) const {
  const int64_t depth = (a_.columns + 1) / 2;
  uint32_t* left = static_cast<uint32_t*>(scratch);
  uint32_t* right =
      left + Aligned(a_.rows * depth * int64_t{sizeof(uint32_t)}) /
                 static_cast<int64_t>(sizeof(uint32_t));
  tiles::Multiply(a_, b_, c_, a, b, c, left, right);
}

#else

bool Bf16Product::Can() { return false; }
int64_t Bf16Product::scratch_bytes() const { return 0; }
void Bf16Product::Run(const float*, const float*, float*, void*) const {}

#endif  // TAMER_TILES

Bf16Product::Bf16Product(const MatrixView& a, const MatrixView& b,
                         const MatrixView& c)
    : a_(a), b_(b), c_(c) {}

}  // namespace tamer
