#include "ops/internal/prefetch.h"
#include "ops/internal/winograd_points.h"

#if TAMER_TILES

namespace tamer {
namespace winograd {

TAMER_BEGIN_TILES

using tiles::kLanes;
using tiles::MaskOf;

namespace {

// sum + factor * x.
inline __m512 Plus(__m512 sum, float factor, __m512 x) {
  return _mm512_fmadd_ps(_mm512_set1_ps(factor), x, sum);
}

// Row i of G, which evaluates a filter at the points, scaled.
template <int kKernel>
struct FilterMap {
  static constexpr float kAt[] = {0, 1, -1, 2, -2};
  static constexpr float kScale[] = {1 / 4.0f, -1 / 6.0f, -1 / 6.0f, 1 / 24.0f,
                                     1 / 24.0f};
  FilterMap() {
    for (int i = 0; i + 1 < kPoints; ++i) {
      float power = kScale[i];
      for (int k = 0; k < kKernel; ++k, power *= kAt[i]) at[i][k] = power;
    }
    for (int k = 0; k < kKernel; ++k) at[kPoints - 1][k] = k + 1 == kKernel;
  }
  float at[kPoints][kKernel];
};

// Turns a matrix of 16 x 16.
TAMER_INLINE void Transpose(__m512* rows) {
  __m512d pairs[kLanes];  // of numbers of two rows
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 2) {
    pairs[i] = _mm512_castps_pd(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
    pairs[i + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
  }
  __m512 fours[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 4) {
    const __m512d* from = pairs + i;
    fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(from[0], from[2]));
    fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(from[0], from[2]));
    fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(from[1], from[3]));
    fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(from[1], from[3]));
  }
  // Of four numbers each, those at even and at odd places.
  constexpr int kEven = 0x88, kOdd = 0xdd;
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512* from = fours + j;
    const __m512 even = _mm512_shuffle_f32x4(from[0], from[4], kEven);
    const __m512 odd = _mm512_shuffle_f32x4(from[0], from[4], kOdd);
    const __m512 even2 = _mm512_shuffle_f32x4(from[8], from[12], kEven);
    const __m512 odd2 = _mm512_shuffle_f32x4(from[8], from[12], kOdd);
    rows[j] = _mm512_shuffle_f32x4(even, even2, kEven);
    rows[j + 8] = _mm512_shuffle_f32x4(even, even2, kOdd);
    rows[j + 4] = _mm512_shuffle_f32x4(odd, odd2, kEven);
    rows[j + 12] = _mm512_shuffle_f32x4(odd, odd2, kOdd);
  }
}

// 16 columns of a row of a weight, number by number: a column's numbers lie
// together.
template <int kKernel>
struct Block {
  static constexpr int kNumbers = kKernel * kKernel;
  __m512 at[(kNumbers + kLanes - 1) / kLanes * kLanes];

  void Gather(const float* from, int64_t step, int64_t columns) {
    for (int k = 0; k < kNumbers; k += kLanes) {
      const __mmask16 mask = MaskOf(kNumbers - k);
      for (int l = 0; l < kLanes; ++l) {
        at[k + l] = l < columns
                        ? _mm512_maskz_loadu_ps(mask, from + l * step + k)
                        : _mm512_setzero_ps();
      }
      Transpose(at + k);
    }
  }
  void Scatter(int64_t step, int64_t columns, float* to) {
    for (int k = 0; k < kNumbers; k += kLanes) {
      const __mmask16 mask = MaskOf(kNumbers - k);
      Transpose(at + k);
      for (int l = 0; l < columns; ++l) {
        _mm512_mask_storeu_ps(to + l * step + k, mask, at[k + l]);
      }
    }
  }
};

template <int kKernel>
void FilterPointsOf(const Filters& f, const float* weight, float* to) {
  const FilterMap<kKernel> map;
  Block<kKernel> block;
  for (int64_t r = 0; r < f.rows; ++r) {
    for (int64_t c = 0; c < f.columns; c += kLanes) {
      block.Gather(weight + r * f.row_step + c * f.column_step, f.column_step,
                   std::min<int64_t>(kLanes, f.columns - c));
      for (int i = 0; i < kPoints; ++i) {
        __m512 down[kKernel];
        for (int x = 0; x < kKernel; ++x) {
          down[x] = _mm512_setzero_ps();
          for (int y = 0; y < kKernel; ++y) {
            down[x] = Plus(down[x], map.at[i][y], block.at[y * kKernel + x]);
          }
        }
        for (int j = 0; j < kPoints; ++j) {
          __m512 sum = _mm512_setzero_ps();
          for (int x = 0; x < kKernel; ++x) {
            sum = Plus(sum, map.at[j][x], down[x]);
          }
          _mm512_storeu_ps(to + ((kPoints * i + j) * f.rows + r) * f.width + c,
                           sum);
        }
      }
    }
  }
}

template <int kKernel>
void FilterGradientOf(const Filters& f, const float* from, int64_t begin,
                      int64_t end, float* gradient) {
  const FilterMap<kKernel> map;
  Block<kKernel> block;
  for (int64_t r = begin; r < end; ++r) {
    for (int64_t c = 0; c < f.columns; c += kLanes) {
      __m512 across[kPoints][kKernel];
      for (int i = 0; i < kPoints; ++i) {
        for (int x = 0; x < kKernel; ++x) across[i][x] = _mm512_setzero_ps();
        for (int j = 0; j < kPoints; ++j) {
          const __m512 point = _mm512_loadu_ps(
              from + ((kPoints * i + j) * f.rows + r) * f.width + c);
          for (int x = 0; x < kKernel; ++x) {
            across[i][x] = Plus(across[i][x], map.at[j][x], point);
          }
        }
      }
      for (int y = 0; y < kKernel; ++y) {
        for (int x = 0; x < kKernel; ++x) {
          __m512 sum = _mm512_setzero_ps();
          for (int i = 0; i < kPoints; ++i) {
            sum = Plus(sum, map.at[i][y], across[i][x]);
          }
          block.at[y * kKernel + x] = sum;
        }
      }
      block.Scatter(f.column_step, std::min<int64_t>(kLanes, f.columns - c),
                    gradient + r * f.row_step + c * f.column_step);
    }
  }
}

}  // namespace

void FilterPoints(const Filters& filters, const float* weight, float* to) {
  // The other core may have updated some of it.
  Prefetch(weight,
           filters.rows * filters.columns * filters.kernel * filters.kernel);
  filters.kernel == 3 ? FilterPointsOf<3>(filters, weight, to)
                      : FilterPointsOf<5>(filters, weight, to);
}

void FilterGradient(const Filters& filters, const float* from, int64_t begin,
                    int64_t end, float* gradient) {
  filters.kernel == 3
      ? FilterGradientOf<3>(filters, from, begin, end, gradient)
      : FilterGradientOf<5>(filters, from, begin, end, gradient);
}

TAMER_END_TILES

}  // namespace winograd
}  // namespace tamer

#endif  // TAMER_TILES
