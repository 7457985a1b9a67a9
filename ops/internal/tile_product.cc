#include "ops/internal/tile_product.h"

#include "core/base/tensor.h"
#include "ops/internal/panels.h"

namespace tamer {

#if TAMER_TILES

bool TileProduct::Can(Precision precision) {
  return HasTiles(precision == BF16);
}

TileProduct::TileProduct(const MatrixView& a, const MatrixView& b,
                         const MatrixView& c, Precision precision)
    : a_(a),
      b_(b),
      c_(c),
      precision_(precision),
      depth_(precision == BF16 ? tiles::DepthOf<tiles::Pairs>(a.columns)
                               : a.columns),
      width_(tiles::BlockWidth(depth_, c.columns)),
      left_bytes_(Aligned(a.rows * depth_ * int64_t{sizeof(float)})),
      right_bytes_(Aligned(depth_ * width_ * int64_t{sizeof(float)})) {}

int64_t TileProduct::scratch_bytes() const {
  return left_bytes_ + right_bytes_ +
         Aligned(tiles::KeptRoom(depth_) * int64_t{sizeof(int32_t)});
}

int32_t* TileProduct::Kept(void* scratch) const {
  return reinterpret_cast<int32_t*>(static_cast<char*>(scratch) + left_bytes_ +
                                    right_bytes_);
}

TAMER_BEGIN_TILES

bool TileProduct::Pays(const float* a, void* scratch) const {
  const tiles::Strip<float> strip = {a, a_.stride, 1, a_.columns};
  const tiles::Factors<float> factors = {&strip,     1,          nullptr,
                                         a_.columns, c_.columns, Kept(scratch)};
  int64_t kept = 0, all = 0;
  for (int64_t row = 0; row + tiles::kRows <= a_.rows; row += tiles::kRows) {
    tiles::Kept found;
    tiles::FindKept<tiles::Singles, tiles::kRows>(factors, row, &found);
    kept += found.count;
    all += a_.columns;
  }
  return kept < all - all / 4;
}

template <typename Kind>
void TileProduct::RunAs(const float* a, const float* b, float* c,
                        void* scratch) const {
  using Element = typename Kind::Element;
  char* memory = static_cast<char*>(scratch);
  Element* left = reinterpret_cast<Element*>(memory);
  Element* right = reinterpret_cast<Element*>(memory + left_bytes_);
  tiles::PackLeft<Kind>(a, a_, depth_, left);
  const tiles::Strip<Element> strip = {left, depth_, 1, depth_};
  for (int64_t begin = 0; begin < c_.columns; begin += width_) {
    const int64_t width = std::min(width_, c_.columns - begin);
    MatrixView block = b_;
    if (b_.transposed) {
      block.rows = width;
      tiles::PackRightTransposed<Kind>(b + begin * b_.stride, block, right);
    } else {
      block.columns = width;
      tiles::PackRight<Kind>(b + begin, block, right);
    }
    int32_t* room = width >= tiles::kWorthASearch ? Kept(scratch) : nullptr;
    tiles::AllTiles<Kind>({&strip, 1, right, depth_, width, room}, {0, a_.rows},
                          tiles::StoreSinks{c + begin, c_.stride});
  }
}

TAMER_END_TILES

void TileProduct::Run(const float* a, const float* b, float* c,
                      void* scratch) const {
  if (precision_ == BF16) {
    RunAs<tiles::Pairs>(a, b, c, scratch);
  } else {
    RunAs<tiles::Singles>(a, b, c, scratch);
  }
}

#else

bool TileProduct::Can(Precision) { return false; }
TileProduct::TileProduct(const MatrixView& a, const MatrixView& b,
                         const MatrixView& c, Precision precision)
    : a_(a), b_(b), c_(c), precision_(precision) {}
int64_t TileProduct::scratch_bytes() const { return 0; }
bool TileProduct::Pays(const float*, void*) const { return false; }
void TileProduct::Run(const float*, const float*, float*, void*) const {}

#endif  // TAMER_TILES

}  // namespace tamer
