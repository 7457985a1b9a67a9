#include "ops/internal/pooling_vectors.h"

#include "core/base/parallel.h"
#include "ops/internal/tiles.h"

namespace tamer {
namespace {

TAMER_INLINE void MaxTapOf(const float* x, int64_t stride, int32_t tap,
                           int64_t n, float* best, int32_t* place) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = x[i * stride];
    const bool take = (value > best[i]) | (value != value);
    best[i] = take ? value : best[i];
    place[i] = take ? tap : place[i];
  }
}

TAMER_INLINE void AddTapOf(const float* x, int64_t stride, int64_t n,
                           float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i * stride];
}

}  // namespace

// A stride that the compiler knows becomes shuffles instead of gathers.
TAMER_VECTORIZED void MaxTap(const float* x, int64_t stride, int32_t tap,
                             int64_t n, float* best, int32_t* place) {
  if (stride == 1) return MaxTapOf(x, 1, tap, n, best, place);
  if (stride == 2) return MaxTapOf(x, 2, tap, n, best, place);
  MaxTapOf(x, stride, tap, n, best, place);
}

TAMER_VECTORIZED void AddTap(const float* x, int64_t stride, int64_t n,
                             float* sum) {
  if (stride == 1) return AddTapOf(x, 1, n, sum);
  if (stride == 2) return AddTapOf(x, 2, n, sum);
  AddTapOf(x, stride, n, sum);
}

TAMER_VECTORIZED float SumOf(const float* x, int64_t n) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
  }
  for (int lane = 0; i + lane < n; ++lane) lanes[lane] += x[i + lane];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return static_cast<float>(sum);
}

TAMER_VECTORIZED void MultiplyBy(float factor, int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

TAMER_VECTORIZED void SpreadOver(const float* dy, float factor, int64_t inner,
                                 int64_t n, float* dx) {
  if (inner == 1) {
    const float share = dy[0] * factor;
    for (int64_t k = 0; k < n; ++k) dx[k] += share;
    return;
  }
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t c = 0; c < inner; ++c) dx[k * inner + c] += factor * dy[c];
  }
}

TAMER_VECTORIZED void StoreBytes(const int32_t* from, int64_t n, uint8_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<uint8_t>(from[i]);
}

bool HasPoolVectors() { return HasTiles(/*bf16=*/false); }

#if TAMER_TILES

TAMER_BEGIN_TILES
namespace {

constexpr int kLanes = tiles::kLanes;

inline __m512i EvenLanes() {
  return _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4,
                          2, 0);
}
inline __m512i OddLanes() {
  return _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5,
                          3, 1);
}

// The larger of best and value, at tap `tap`.
inline void Take(__m512 value, int tap, __m512* best, __m512i* place) {
  const __mmask16 take = _mm512_cmp_ps_mask(value, *best, _CMP_GT_OQ) |
                         _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  *best = _mm512_mask_mov_ps(*best, take, value);
  *place = _mm512_mask_mov_epi32(*place, take, _mm512_set1_epi32(tap));
}

}  // namespace

void MaxOfPairs(const float* above, const float* below, int64_t n, float* y,
                uint8_t* place) {
  const __m512i even = EvenLanes(), odd = OddLanes();
  for (int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 low = tiles::MaskOf(std::min<int64_t>(16, 2 * (n - i)));
    const __mmask16 high =
        tiles::MaskOf(std::max<int64_t>(0, 2 * (n - i) - 16));
    const __m512 a0 = _mm512_maskz_loadu_ps(low, above + 2 * i);
    const __m512 a1 = _mm512_maskz_loadu_ps(high, above + 2 * i + 16);
    const __m512 b0 = _mm512_maskz_loadu_ps(low, below + 2 * i);
    const __m512 b1 = _mm512_maskz_loadu_ps(high, below + 2 * i + 16);
    __m512 best = _mm512_permutex2var_ps(a0, even, a1);
    __m512i at = _mm512_setzero_si512();
    Take(_mm512_permutex2var_ps(a0, odd, a1), 1, &best, &at);
    Take(_mm512_permutex2var_ps(b0, even, b1), 2, &best, &at);
    Take(_mm512_permutex2var_ps(b0, odd, b1), 3, &best, &at);
    const __mmask16 mask = tiles::MaskOf(n - i);
    _mm512_mask_storeu_ps(y + i, mask, best);
    if (place != nullptr) {
      _mm512_mask_cvtepi32_storeu_epi8(place + i, mask, at);
    }
  }
}

void PairsOfMax(const float* dy, const uint8_t* place, int64_t n, float* above,
                float* below) {
  // Lane i of a first and of a second vector, in turn.
  const __m512i first =
      _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  for (int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = tiles::MaskOf(n - i);
    const __mmask16 low = tiles::MaskOf(std::min<int64_t>(16, 2 * (n - i)));
    const __mmask16 high =
        tiles::MaskOf(std::max<int64_t>(0, 2 * (n - i) - 16));
    const __m512 value = _mm512_maskz_loadu_ps(mask, dy + i);
    const __m512i at =
        _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, place + i));
    __m512 share[4];
    for (int tap = 0; tap < 4; ++tap) {
      const __mmask16 here =
          _mm512_cmpeq_epi32_mask(at, _mm512_set1_epi32(tap));
      share[tap] = _mm512_maskz_mov_ps(here, value);
    }
    _mm512_mask_storeu_ps(above + 2 * i, low,
                          _mm512_permutex2var_ps(share[0], first, share[1]));
    _mm512_mask_storeu_ps(above + 2 * i + 16, high,
                          _mm512_permutex2var_ps(share[0], second, share[1]));
    _mm512_mask_storeu_ps(below + 2 * i, low,
                          _mm512_permutex2var_ps(share[2], first, share[3]));
    _mm512_mask_storeu_ps(below + 2 * i + 16, high,
                          _mm512_permutex2var_ps(share[2], second, share[3]));
  }
}

namespace {

// Four numbers and where the largest stands, the first of equal ones; a NaN is
// larger than all numbers.
struct Quad {
  __m512 best;
  __m512i place;
};
inline Quad LargestOf(const __m512* v) {
  Quad quad{v[0], _mm512_setzero_si512()};
  const __mmask16 strange = _mm512_cmp_ps_mask(v[0], v[1], _CMP_UNORD_Q) |
                            _mm512_cmp_ps_mask(v[2], v[3], _CMP_UNORD_Q);
  if (__builtin_expect(strange != 0, 0)) {
    for (int tap = 1; tap < 4; ++tap) {
      Take(v[tap], tap, &quad.best, &quad.place);
    }
    return quad;
  }
  for (int tap = 1; tap < 4; ++tap) {
    const __mmask16 take = _mm512_cmp_ps_mask(v[tap], quad.best, _CMP_GT_OQ);
    quad.best = _mm512_max_ps(v[tap], quad.best);
    quad.place =
        _mm512_mask_mov_epi32(quad.place, take, _mm512_set1_epi32(tap));
  }
  return quad;
}

}  // namespace

void MaxOfQuads(const float* above, const float* below, int64_t n,
                int64_t channels, float* y, uint8_t* place) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = tiles::MaskOf(channels - c);
    for (int64_t i = 0; i < n; ++i) {
      const float* top = above + 2 * i * channels + c;
      const float* bottom = below + 2 * i * channels + c;
      const __m512 v[4] = {_mm512_maskz_loadu_ps(mask, top),
                           _mm512_maskz_loadu_ps(mask, top + channels),
                           _mm512_maskz_loadu_ps(mask, bottom),
                           _mm512_maskz_loadu_ps(mask, bottom + channels)};
      const Quad quad = LargestOf(v);
      _mm512_mask_storeu_ps(y + i * channels + c, mask, quad.best);
      if (place != nullptr) {
        _mm512_mask_cvtepi32_storeu_epi8(place + i * channels + c, mask,
                                         quad.place);
      }
    }
  }
}

void QuadsOfMax(const float* dy, const uint8_t* place, int64_t n,
                int64_t channels, float* above, float* below) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = tiles::MaskOf(channels - c);
    for (int64_t i = 0; i < n; ++i) {
      const __m512 value = _mm512_maskz_loadu_ps(mask, dy + i * channels + c);
      const __m512i at = _mm512_cvtepu8_epi32(
          _mm_maskz_loadu_epi8(mask, place + i * channels + c));
      float* top = above + 2 * i * channels + c;
      float* bottom = below + 2 * i * channels + c;
      float* to[4] = {top, top + channels, bottom, bottom + channels};
      for (int tap = 0; tap < 4; ++tap) {
        const __mmask16 here =
            _mm512_cmpeq_epi32_mask(at, _mm512_set1_epi32(tap));
        _mm512_mask_storeu_ps(to[tap], mask, _mm512_maskz_mov_ps(here, value));
      }
    }
  }
}

void MaxOfBox(const float* x, const TapBox& box, int64_t n, float* y,
              uint8_t* place) {
  for (int64_t c = 0; c < n; c += kLanes) {
    const __mmask16 mask = tiles::MaskOf(n - c);
    __m512 best = _mm512_maskz_loadu_ps(mask, x + c);
    __m512i at = _mm512_set1_epi32(box.tap);
    for (int64_t i = 0; i < box.nz; ++i) {
      for (int64_t j = 0; j < box.ny; ++j) {
        const float* row = x + c + i * box.step_z + j * box.step_y;
        const auto tap =
            static_cast<int>(box.tap + i * box.tap_z + j * box.tap_y);
        for (int64_t k = 0; k < box.nx; ++k) {
          Take(_mm512_maskz_loadu_ps(mask, row + k * box.step_x), tap + k,
               &best, &at);
        }
      }
    }
    _mm512_mask_storeu_ps(y + c, mask, best);
    if (place != nullptr) {
      _mm512_mask_cvtepi32_storeu_epi8(place + c, mask, at);
    }
  }
}

void BoxOfMax(const float* dy, const uint8_t* place, const TapBox& box,
              int64_t n, float* dx) {
  for (int64_t c = 0; c < n; c += kLanes) {
    const __mmask16 mask = tiles::MaskOf(n - c);
    const __m512 value = _mm512_maskz_loadu_ps(mask, dy + c);
    const __m512i at =
        _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, place + c));
    for (int64_t i = 0; i < box.nz; ++i) {
      for (int64_t j = 0; j < box.ny; ++j) {
        float* row = dx + c + i * box.step_z + j * box.step_y;
        const auto tap =
            static_cast<int>(box.tap + i * box.tap_z + j * box.tap_y);
        for (int64_t k = 0; k < box.nx; ++k) {
          const __mmask16 here = _mm512_mask_cmpeq_epi32_mask(
              mask, at, _mm512_set1_epi32(tap + static_cast<int>(k)));
          float* to = row + k * box.step_x;
          const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to),
                                           _mm512_maskz_mov_ps(here, value));
          _mm512_mask_storeu_ps(to, mask, sum);
        }
      }
    }
  }
}
TAMER_END_TILES

#else

void MaxOfPairs(const float*, const float*, int64_t, float*, uint8_t*) {}
void PairsOfMax(const float*, const uint8_t*, int64_t, float*, float*) {}
void MaxOfQuads(const float*, const float*, int64_t, int64_t, float*,
                uint8_t*) {}
void QuadsOfMax(const float*, const uint8_t*, int64_t, int64_t, float*,
                float*) {}
void MaxOfBox(const float*, const TapBox&, int64_t, float*, uint8_t*) {}
void BoxOfMax(const float*, const uint8_t*, const TapBox&, int64_t, float*) {}

#endif  // TAMER_TILES

}  // namespace tamer
