#include "ops/internal/bf16_product.h"

#include "core/base/tensor.h"
#include "ops/internal/panels.h"

namespace tamer {

#if TAMER_TILES

namespace tiles {
namespace {

TAMER_BEGIN_TILES

// 16 vectors of 16 numbers, as their columns.
inline void Transpose(__m512i (&v)[kLanes]) {
  __m512i t[kLanes];
  for (int i = 0; i < kLanes; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < kLanes; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// B transposed: its rows are columns of the factor, and depth runs along them.
void PackRightTransposed(const float* from, const MatrixView& view,
                         uint32_t* to) {
  const int64_t columns = view.rows, depth = (view.columns + 1) / 2;
  for (int64_t c = 0; c < columns; c += kLanes) {
    for (int64_t next = c + kLanes;
         next < std::min<int64_t>(columns, c + 2 * kLanes); ++next) {
      Prefetch(from + next * view.stride, view.columns);
    }
    for (int64_t d = 0; d < depth; d += kLanes) {
      __m512i block[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        block[lane] = c + lane < columns
                          ? PairsOfRow(from + (c + lane) * view.stride + 2 * d,
                                       view.columns - 2 * d)
                          : _mm512_setzero_si512();
      }
      Transpose(block);
      const int64_t rows = std::min<int64_t>(kLanes, depth - d);
      for (int64_t i = 0; i < rows; ++i) {
        _mm512_storeu_si512(InPanels(to, depth, columns, d + i, c), block[i]);
      }
    }
  }
}

void Multiply(const MatrixView& a_view, const MatrixView& b_view,
              const MatrixView& c_view, const float* a, const float* b,
              float* c, uint32_t* left, uint32_t* right) {
  const int64_t depth = (a_view.columns + 1) / 2;
  PackLeft(a, a_view, depth, left);
  if (b_view.transposed) {
    PackRightTransposed(b, b_view, right);
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
