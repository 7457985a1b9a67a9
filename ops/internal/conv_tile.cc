#include "ops/internal/conv_tile.h"

#if TAMER_TILES

namespace tamer {
namespace tiles {

// 256-bit multiply-adds are a feature of their own.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,fma")

namespace {

// The sums of kR rows, kV vectors of 16 and, with kHalf, one of 8.
template <int kR, int kV, bool kHalf>
struct Sums {
  __m512 whole[kR][kV > 0 ? kV : 1];
  __m256 half[kR];
};

template <int kR, int kV, bool kHalf>
TAMER_INLINE void Begin(const float* start, Sums<kR, kV, kHalf>* sums) {
#pragma GCC unroll 5
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) {
      sums->whole[r][v] = start == nullptr
                              ? _mm512_setzero_ps()
                              : _mm512_loadu_ps(start + v * kLanes);
    }
    if (kHalf) {
      sums->half[r] = start == nullptr ? _mm256_setzero_ps()
                                       : _mm256_loadu_ps(start + kV * kLanes);
    }
  }
}

template <int kR, int kV, bool kHalf>
TAMER_INLINE void MultiplyAdd(const TileFactors& factors, __mmask16 mask,
                              Sums<kR, kV, kHalf>* sums) {
  for (int64_t s = 0; s < factors.strips; ++s) {
    const float* a = factors.a + s * factors.a_strip;
    const float* b = factors.b + s * factors.b_strip;
    for (int64_t d = 0; d < factors.depth; ++d) {
      __m512 whole[kV > 0 ? kV : 1];
      __m256 half = _mm256_setzero_ps();
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) {
        whole[v] = v + 1 == kV && !kHalf
                       ? _mm512_maskz_loadu_ps(mask, b + v * kLanes)
                       : _mm512_loadu_ps(b + v * kLanes);
      }
      if (kHalf) {
        half =
            _mm256_maskz_loadu_ps(static_cast<__mmask8>(mask), b + kV * kLanes);
      }
#pragma GCC unroll 5
      for (int r = 0; r < kR; ++r) {
        const __m512 left = _mm512_set1_ps(a[r * factors.a_row]);
#pragma GCC unroll 4
        for (int v = 0; v < kV; ++v) {
          sums->whole[r][v] =
              _mm512_fmadd_ps(left, whole[v], sums->whole[r][v]);
        }
        if (kHalf) {
          sums->half[r] = _mm256_fmadd_ps(_mm512_castps512_ps256(left), half,
                                          sums->half[r]);
        }
      }
      a += factors.a_depth;
      b += factors.b_depth;
    }
  }
}

TAMER_INLINE void Store(const TileResult& result, __mmask16 mask, float* to,
                        __m512 sum) {
  if (result.add) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, to));
  if (result.relu) sum = _mm512_max_ps(sum, _mm512_setzero_ps());
  _mm512_mask_storeu_ps(to, mask, sum);
}

template <int kR, int kV, bool kHalf>
void ConvTile(const TileFactors& factors, const TileResult& result) {
  Sums<kR, kV, kHalf> sums;
  Begin(factors.start, &sums);
  MultiplyAdd(factors, result.mask, &sums);
#pragma GCC unroll 5
  for (int r = 0; r < kR; ++r) {
    float* to = result.to + r * result.row;
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) {
      Store(result, v + 1 == kV && !kHalf ? result.mask : 0xffff,
            to + v * kLanes, sums.whole[r][v]);
    }
    if (kHalf) {
      Store(result, result.mask & 0xff, to + kV * kLanes,
            _mm512_castps256_ps512(sums.half[r]));
    }
  }
}

template <int kR>
TileFunction OfWidth(int vectors, bool half) {
  static constexpr TileFunction kWhole[] = {
      nullptr, ConvTile<kR, 1, false>, ConvTile<kR, 2, false>,
      ConvTile<kR, 3, false>, ConvTile<kR, 4, false>};
  static constexpr TileFunction kHalf[] = {
      ConvTile<kR, 0, true>, ConvTile<kR, 1, true>, ConvTile<kR, 2, true>,
      ConvTile<kR, 3, true>};
  return half ? kHalf[vectors] : kWhole[vectors];
}

}  // namespace

TileFunction FindTile(int rows, const Panel& panel) {
  switch (rows) {
    case 1:
      return OfWidth<1>(panel.vectors, panel.half);
    case 2:
      return OfWidth<2>(panel.vectors, panel.half);
    case 3:
      return OfWidth<3>(panel.vectors, panel.half);
    case 4:
      return OfWidth<4>(panel.vectors, panel.half);
    default:
      return OfWidth<5>(panel.vectors, panel.half);
  }
}

#pragma GCC pop_options

}  // namespace tiles
}  // namespace tamer

#endif  // TAMER_TILES
