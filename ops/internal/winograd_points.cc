#include "ops/internal/winograd_points.h"

#if TAMER_TILES

namespace tamer {
namespace winograd {

TAMER_BEGIN_TILES

using tiles::kLanes;
using tiles::MaskOf;

namespace {

// Six vectors, and what the matrices make of them.
struct Six {
  __m512 v[kPoints];
};

inline __m512 Times(float factor, __m512 x) {
  return _mm512_mul_ps(_mm512_set1_ps(factor), x);
}
// sum + factor * x.
inline __m512 Plus(__m512 sum, float factor, __m512 x) {
  return _mm512_fmadd_ps(_mm512_set1_ps(factor), x, sum);
}
inline __m512 Plus(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
inline __m512 Minus(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }

// B^T x, Lavin and Gray's for F(4, 3); that of F(2, 5) is the same.
TAMER_INLINE Six ImageMap(const Six& x) {
  const __m512* d = x.v;
  const __m512 even = Plus(d[4], -4, d[2]), odd = Plus(d[3], -4, d[1]);
  const __m512 even2 = Minus(d[4], d[2]), odd2 = Times(2, Minus(d[3], d[1]));
  Six y;
  y.v[0] = Plus(Plus(d[4], 4, d[0]), -5, d[2]);
  y.v[1] = Plus(even, odd);
  y.v[2] = Minus(even, odd);
  y.v[3] = Plus(even2, odd2);
  y.v[4] = Minus(even2, odd2);
  y.v[5] = Plus(Plus(d[5], 4, d[1]), -5, d[3]);
  return y;
}

// B x.
TAMER_INLINE Six ImageMapBack(const Six& x) {
  const __m512* m = x.v;
  const __m512 sum1 = Plus(m[1], m[2]), difference1 = Minus(m[1], m[2]);
  const __m512 sum2 = Plus(m[3], m[4]), difference2 = Minus(m[3], m[4]);
  Six y;
  y.v[0] = Times(4, m[0]);
  y.v[1] = Plus(Times(4, Minus(m[5], difference1)), -2, difference2);
  y.v[2] = Minus(Plus(Times(-5, m[0]), -4, sum1), sum2);
  y.v[3] = Plus(Plus(difference1, 2, difference2), -5, m[5]);
  y.v[4] = Plus(Plus(m[0], sum1), sum2);
  y.v[5] = m[5];
  return y;
}

// A x, of kSide numbers.
template <int kSide>
TAMER_INLINE Six ResultMap(const __m512* x) {
  Six y;
  y.v[0] = x[0];
  if (kSide == 2) {
    y.v[1] = Plus(x[0], x[1]);
    y.v[2] = Minus(x[0], x[1]);
    y.v[3] = Plus(x[0], 2, x[1]);
    y.v[4] = Plus(x[0], -2, x[1]);
    y.v[5] = x[1];
    return y;
  }
  const __m512 even = Plus(x[0], x[2]), odd = Plus(x[1], x[3]);
  const __m512 even2 = Plus(x[0], 4, x[2]);
  const __m512 odd2 = Plus(Times(2, x[1]), 8, x[3]);
  y.v[1] = Plus(even, odd);
  y.v[2] = Minus(even, odd);
  y.v[3] = Plus(even2, odd2);
  y.v[4] = Minus(even2, odd2);
  y.v[5] = x[3];
  return y;
}

// A^T x.
template <int kSide>
TAMER_INLINE void ResultMapBack(const Six& x, __m512* y) {
  const __m512* m = x.v;
  const __m512 sum1 = Plus(m[1], m[2]), difference1 = Minus(m[1], m[2]);
  const __m512 sum2 = Plus(m[3], m[4]), difference2 = Minus(m[3], m[4]);
  y[0] = Plus(Plus(m[0], sum1), sum2);
  y[1] = Plus(difference1, 2, difference2);
  if (kSide == 2) {
    y[1] = Plus(y[1], m[5]);
    return;
  }
  y[2] = Plus(sum1, 4, sum2);
  y[3] = Plus(Plus(difference1, 8, difference2), m[5]);
}

template <int kSide>
TAMER_INLINE void ResultRowsOf(const float* image, int64_t step, int64_t rows,
                               int64_t n, int begin, int end, Rows to) {
  for (int64_t x = 0; x < n; x += kLanes) {
    const __mmask16 mask = MaskOf(n - x);
    __m512 y[kSide];
    for (int k = 0; k < kSide; ++k) {
      y[k] = k < rows ? _mm512_maskz_loadu_ps(mask, image + k * step + x)
                      : _mm512_setzero_ps();
    }
    const Six points = ResultMap<kSide>(y);
    for (int i = begin; i < end; ++i) {
      _mm512_mask_storeu_ps(to.at + i * to.step + x, mask, points.v[i]);
    }
  }
}

template <int kSide>
TAMER_INLINE void ResultPieceOf(Rows from, int64_t channels, int begin, int end,
                                Points to) {
  for (int i = begin; i < end; ++i) {
    const float* row = from.at + i * from.step;
    float* point = to.at + kPoints * i * to.step;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskOf(channels - c);
      __m512 y[kSide];
#pragma GCC unroll 4
      for (int k = 0; k < kSide; ++k) {
        y[k] = _mm512_maskz_loadu_ps(mask, row + k * channels + c);
      }
      const Six points = ResultMap<kSide>(y);
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) {
        _mm512_mask_storeu_ps(point + j * to.step + c, mask, points.v[j]);
      }
    }
  }
}

template <int kSide>
TAMER_INLINE void FinishPieceOf(Points from, int64_t channels,
                                const Finish& finish, int64_t rows,
                                int64_t columns, float* to, int64_t step) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const __mmask16 mask = MaskOf(channels - c);
    __m512 down[kSide][kPoints];
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) {
      Six points;
#pragma GCC unroll 6
      for (int i = 0; i < kPoints; ++i) {
        points.v[i] = _mm512_maskz_loadu_ps(
            mask, from.at + (kPoints * i + j) * from.step + c);
      }
      __m512 y[kSide];
      ResultMapBack<kSide>(points, y);
#pragma GCC unroll 4
      for (int k = 0; k < kSide; ++k) down[k][j] = y[k];
    }
    const __m512 bias = finish.bias == nullptr
                            ? _mm512_setzero_ps()
                            : _mm512_maskz_loadu_ps(mask, finish.bias + c);
    for (int k = 0; k < kSide && k < rows; ++k) {
      Six row;
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) row.v[j] = down[k][j];
      __m512 y[kSide];
      ResultMapBack<kSide>(row, y);
      for (int x = 0; x < kSide && x < columns; ++x) {
        __m512 value = Plus(y[x], bias);
        if (finish.relu) value = _mm512_max_ps(value, _mm512_setzero_ps());
        _mm512_mask_storeu_ps(to + k * step + x * channels + c, mask, value);
      }
    }
  }
}

}  // namespace

void ImageRows(const float* image, int64_t step, int64_t n, int begin, int end,
               Rows to) {
  for (int64_t x = 0; x < n; x += kLanes) {
    const __mmask16 mask = MaskOf(n - x);
    Six rows;
#pragma GCC unroll 6
    for (int k = 0; k < kPoints; ++k) {
      rows.v[k] = _mm512_maskz_loadu_ps(mask, image + k * step + x);
    }
    const Six points = ImageMap(rows);
    for (int i = begin; i < end; ++i) {
      _mm512_mask_storeu_ps(to.at + i * to.step + x, mask, points.v[i]);
    }
  }
}

void ImagePiece(Rows from, int64_t channels, int begin, int end, Points to) {
  for (int i = begin; i < end; ++i) {
    const float* row = from.at + i * from.step;
    float* point = to.at + kPoints * i * to.step;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskOf(channels - c);
      Six pixels;
#pragma GCC unroll 6
      for (int k = 0; k < kPoints; ++k) {
        pixels.v[k] = _mm512_maskz_loadu_ps(mask, row + k * channels + c);
      }
      const Six points = ImageMap(pixels);
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) {
        _mm512_mask_storeu_ps(point + j * to.step + c, mask, points.v[j]);
      }
    }
  }
}

void AddPiece(Points from, int64_t channels, Rows to) {
  for (int i = 0; i < kPoints; ++i) {
    const float* point = from.at + kPoints * i * from.step;
    float* row = to.at + i * to.step;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const __mmask16 mask = MaskOf(channels - c);
      Six points;
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) {
        points.v[j] = _mm512_maskz_loadu_ps(mask, point + j * from.step + c);
      }
      const Six pixels = ImageMapBack(points);
#pragma GCC unroll 6
      for (int k = 0; k < kPoints; ++k) {
        float* pixel = row + k * channels + c;
        _mm512_mask_storeu_ps(
            pixel, mask, Plus(pixels.v[k], _mm512_maskz_loadu_ps(mask, pixel)));
      }
    }
  }
}

void AddRows(Rows from, int64_t n, float* image, int64_t step) {
  for (int64_t x = 0; x < n; x += kLanes) {
    const __mmask16 mask = MaskOf(n - x);
    Six points;
#pragma GCC unroll 6
    for (int i = 0; i < kPoints; ++i) {
      points.v[i] = _mm512_maskz_loadu_ps(mask, from.at + i * from.step + x);
    }
    const Six rows = ImageMapBack(points);
#pragma GCC unroll 6
    for (int k = 0; k < kPoints; ++k) {
      float* row = image + k * step + x;
      _mm512_mask_storeu_ps(row, mask,
                            Plus(rows.v[k], _mm512_maskz_loadu_ps(mask, row)));
    }
  }
}

void ResultRows(int side, const float* image, int64_t step, int64_t rows,
                int64_t n, int begin, int end, Rows to) {
  side == 2 ? ResultRowsOf<2>(image, step, rows, n, begin, end, to)
            : ResultRowsOf<4>(image, step, rows, n, begin, end, to);
}

void ResultPiece(int side, Rows from, int64_t channels, int begin, int end,
                 Points to) {
  side == 2 ? ResultPieceOf<2>(from, channels, begin, end, to)
            : ResultPieceOf<4>(from, channels, begin, end, to);
}

void FinishPiece(int side, Points from, int64_t channels, const Finish& finish,
                 int64_t rows, int64_t columns, float* to, int64_t step) {
  side == 2 ? FinishPieceOf<2>(from, channels, finish, rows, columns, to, step)
            : FinishPieceOf<4>(from, channels, finish, rows, columns, to, step);
}

TAMER_END_TILES

}  // namespace winograd
}  // namespace tamer

#endif  // TAMER_TILES
