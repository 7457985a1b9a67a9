#include "ops/internal/channels.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/base/tensor.h"

namespace tamer {
namespace {

constexpr int kLanes = 16;
constexpr int64_t kGrain = 1 << 14;
// Elements of a block of rows: they stay in the first cache for a second look.
constexpr int64_t kBlock = 4096;

int64_t RowsInBlock(const ChannelLayout& layout) {
  return std::max<int64_t>(16, kBlock / layout.channels);
}

// Runs body(unit) over `n` units of `work` elements each.
template <typename Body>
void ForUnits(int64_t n, int64_t work, const Body& body) {
  // ParallelFor cuts at multiples of 16.
  ParallelFor(n * kLanes, kGrain * kLanes / std::max<int64_t>(1, work) + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t u = begin / kLanes; u < end / kLanes; ++u) body(u);
              });
}

// Runs body(block, begin row, rows) over blocks of rows; channels innermost.
template <typename Body>
void ForRowBlocks(const ChannelLayout& layout, const Body& body) {
  const int64_t rows = RowsInBlock(layout);
  ForUnits(layout.blocks(), rows * layout.channels, [&](int64_t block) {
    const int64_t begin = block * rows;
    body(block, begin, std::min(rows, layout.outer - begin));
  });
}

// The moments of `width` <= 16 channels over rows: sums in two halves, so that
// an addition needn't wait for the last.
template <int kWidth>
TAMER_INLINE void LaneMoments(const float* x, int64_t rows, int64_t stride,
                              float* mean, float* squares) {
  float even[kWidth] = {}, odd[kWidth] = {};
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    for (int i = 0; i < kWidth; ++i) even[i] += x[r * stride + i];
    for (int i = 0; i < kWidth; ++i) odd[i] += x[(r + 1) * stride + i];
  }
  for (; r < rows; ++r) {
    for (int i = 0; i < kWidth; ++i) even[i] += x[r * stride + i];
  }
  float m[kWidth];
  const float share = 1.0f / static_cast<float>(rows);
  for (int i = 0; i < kWidth; ++i) m[i] = (even[i] + odd[i]) * share;
  float sum[kWidth] = {}, first[kWidth] = {};
  for (r = 0; r < rows; ++r) {
    for (int i = 0; i < kWidth; ++i) {
      const float d = x[r * stride + i] - m[i];
      sum[i] += d * d;
      first[i] += d;
    }
  }
  // The mean's rounding, taken back.
  for (int i = 0; i < kWidth; ++i) {
    mean[i] = m[i] + first[i] * share;
    squares[i] = sum[i] - first[i] * first[i] * share;
  }
}

TAMER_VECTORIZED void RowMoments(const float* x, int64_t rows, int64_t channels,
                                 float* mean, float* squares) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    LaneMoments<kLanes>(x + c, rows, channels, mean + c, squares + c);
  }
  for (; c < channels; ++c) {
    LaneMoments<1>(x + c, rows, channels, mean + c, squares + c);
  }
}

// The moments of n numbers that follow one another.
TAMER_VECTORIZED void RunMoments(const float* x, int64_t n, float* mean,
                                 float* squares) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += x[i + k];
  }
  for (int k = 0; i + k < n; ++k) lanes[k] += x[i + k];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  const float m = static_cast<float>(sum / static_cast<double>(n));
  float around[kLanes] = {};
  for (i = 0; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      around[k] += (x[i + k] - m) * (x[i + k] - m);
    }
  }
  for (int k = 0; i + k < n; ++k) around[k] += (x[i + k] - m) * (x[i + k] - m);
  double total = 0;
  for (float lane : around) total += lane;
  *mean = m;
  *squares = static_cast<float>(total);
}

// From [blocks, channels] of means and of squares around them, all blocks of
// `size` elements but the last, the moments of each channel (Chan, Golub and
// LeVeque 1979).
void CombineMoments(const ChannelLayout& layout, int64_t size,
                    const float* means, const float* squares, float* mean,
                    float* variance) {
  const int64_t blocks = layout.blocks(), channels = layout.channels;
  const auto count = static_cast<double>(layout.count());
  const double last = count - static_cast<double>(size * (blocks - 1));
  ParallelFor(channels, kGrain / blocks + 1, [&](int64_t c, int64_t end) {
    for (; c < end; ++c) {
      double sum = 0, within = 0, between = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        const double n = b + 1 < blocks ? static_cast<double>(size) : last;
        sum += n * means[b * channels + c];
        within += squares[b * channels + c];
      }
      const double m = sum / count;
      for (int64_t b = 0; b < blocks; ++b) {
        const double n = b + 1 < blocks ? static_cast<double>(size) : last;
        const double d = means[b * channels + c] - m;
        between += n * d * d;
      }
      mean[c] = static_cast<float>(m);
      variance[c] = static_cast<float>(std::max(0.0, within + between) / count);
    }
  });
}

struct Affine {
  const float *x, *mean, *factor, *shift, *residual;
  float* y;
};

template <bool kResidual, bool kRelu>
TAMER_INLINE void AffineRow(const Affine& a, int64_t at, int64_t n) {
  for (int64_t c = 0; c < n; ++c) {
    float y = (a.x[at + c] - a.mean[c]) * a.factor[c] + a.shift[c];
    if (kResidual) y += a.residual[at + c];
    // NaN stays NaN.
    a.y[at + c] = kRelu && y < 0 ? 0.0f : y;
  }
}

template <bool kResidual, bool kRelu>
TAMER_INLINE void AffineRun(const Affine& a, int64_t c, int64_t at, int64_t n) {
  const float mean = a.mean[c], factor = a.factor[c], shift = a.shift[c];
  for (int64_t i = at; i < at + n; ++i) {
    float y = (a.x[i] - mean) * factor + shift;
    if (kResidual) y += a.residual[i];
    a.y[i] = kRelu && y < 0 ? 0.0f : y;
  }
}

TAMER_VECTORIZED void AffineRows(const Affine& a, bool relu, int64_t begin,
                                 int64_t end, int64_t channels) {
  for (int64_t r = begin; r < end; ++r) {
    const int64_t at = r * channels;
    if (a.residual != nullptr) {
      relu ? AffineRow<true, true>(a, at, channels)
           : AffineRow<true, false>(a, at, channels);
    } else {
      relu ? AffineRow<false, true>(a, at, channels)
           : AffineRow<false, false>(a, at, channels);
    }
  }
}

TAMER_VECTORIZED void AffineRunOf(const Affine& a, bool relu, int64_t c,
                                  int64_t at, int64_t n) {
  if (a.residual != nullptr) {
    relu ? AffineRun<true, true>(a, c, at, n)
         : AffineRun<true, false>(a, c, at, n);
  } else {
    relu ? AffineRun<false, true>(a, c, at, n)
         : AffineRun<false, false>(a, c, at, n);
  }
}

template <int kWidth, bool kMasked>
TAMER_INLINE void LaneSums(const float* dy, const float* y, const float* x,
                           const float* mean, int64_t rows, int64_t stride,
                           float* sum, float* moment) {
  float s[kWidth] = {}, m[kWidth] = {};
  for (int64_t r = 0; r < rows; ++r) {
    for (int i = 0; i < kWidth; ++i) {
      const int64_t at = r * stride + i;
      const float all = dy[at];  // a load that depends on nothing is a vector
      const float g = !kMasked || y[at] > 0 ? all : 0.0f;
      s[i] += g;
      m[i] += g * (x[at] - mean[i]);
    }
  }
  for (int i = 0; i < kWidth; ++i) sum[i] = s[i], moment[i] = m[i];
}

template <bool kMasked>
TAMER_INLINE void RowSumsOf(const float* dy, const float* y, const float* x,
                            const float* mean, int64_t rows, int64_t channels,
                            float* sum, float* moment) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    LaneSums<kLanes, kMasked>(dy + c, y + c, x + c, mean + c, rows, channels,
                              sum + c, moment + c);
  }
  for (; c < channels; ++c) {
    LaneSums<1, kMasked>(dy + c, y + c, x + c, mean + c, rows, channels,
                         sum + c, moment + c);
  }
}

TAMER_VECTORIZED void RowSums(const float* dy, const float* y, const float* x,
                              const float* mean, int64_t rows, int64_t channels,
                              float* sum, float* moment) {
  if (y != nullptr) {
    RowSumsOf<true>(dy, y, x, mean, rows, channels, sum, moment);
  } else {
    RowSumsOf<false>(dy, dy, x, mean, rows, channels, sum, moment);
  }
}

template <bool kMasked>
TAMER_INLINE void RunSumsOf(const float* dy, const float* y, const float* x,
                            float mean, int64_t n, float* sum, float* moment) {
  float s[kLanes] = {}, m[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const float all = dy[i + k];
      const float g = !kMasked || y[i + k] > 0 ? all : 0.0f;
      s[k] += g;
      m[k] += g * (x[i + k] - mean);
    }
  }
  for (int k = 0; i + k < n; ++k) {
    const float g = !kMasked || y[i + k] > 0 ? dy[i + k] : 0.0f;
    s[k] += g;
    m[k] += g * (x[i + k] - mean);
  }
  double total = 0, moments = 0;
  for (int k = 0; k < kLanes; ++k) total += s[k], moments += m[k];
  *sum = static_cast<float>(total);
  *moment = static_cast<float>(moments);
}

TAMER_VECTORIZED void RunSums(const float* dy, const float* y, const float* x,
                              float mean, int64_t n, float* sum,
                              float* moment) {
  if (y != nullptr) {
    RunSumsOf<true>(dy, y, x, mean, n, sum, moment);
  } else {
    RunSumsOf<false>(dy, dy, x, mean, n, sum, moment);
  }
}

struct Back {
  const float *dy, *y, *x, *mean, *a, *b, *d;
  float *dx, *g_out;
};

// kRun: all elements are of channel `c`; else they are of c, c + 1, …
template <bool kRun, bool kMasked, bool kOut>
TAMER_INLINE void BackOver(const Back& k, int64_t c, int64_t at, int64_t n) {
  const float *dy = k.dy + at, *y = kMasked ? k.y + at : dy, *x = k.x + at;
  const float *mean = k.mean + c, *a = k.a + c, *b = k.b + c, *d = k.d + c;
  float *dx = k.dx + at, *g_out = kOut ? k.g_out + at : dx;
  // Where dx is dy, each element is read before it is written.
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const int64_t ch = kRun ? 0 : i;
    const float all = dy[i];
    const float g = !kMasked || y[i] > 0 ? all : 0.0f;
    if (kOut) g_out[i] = g;
    dx[i] = a[ch] * g + b[ch] * (x[i] - mean[ch]) + d[ch];
  }
}

template <bool kRun>
TAMER_INLINE void BackAny(const Back& k, int64_t c, int64_t at, int64_t n) {
  if (k.y == nullptr) {
    k.g_out ? BackOver<kRun, false, true>(k, c, at, n)
            : BackOver<kRun, false, false>(k, c, at, n);
  } else {
    k.g_out ? BackOver<kRun, true, true>(k, c, at, n)
            : BackOver<kRun, true, false>(k, c, at, n);
  }
}

TAMER_VECTORIZED void BackRows(const Back& k, int64_t begin, int64_t end,
                               int64_t channels) {
  for (int64_t r = begin; r < end; ++r) {
    BackAny<false>(k, 0, r * channels, channels);
  }
}

TAMER_VECTORIZED void BackRun(const Back& k, int64_t c, int64_t at, int64_t n) {
  BackAny<true>(k, c, at, n);
}

}  // namespace

int64_t ChannelLayout::blocks() const {
  if (inner > 1) return outer;
  const int64_t rows = RowsInBlock(*this);
  return (outer + rows - 1) / rows;
}

int64_t ChannelLayout::scratch_bytes() const {
  return 2 * Aligned(blocks() * channels * static_cast<int64_t>(sizeof(float)));
}

absl::StatusOr<ChannelLayout> ChannelLayoutOf(const Shape& x,
                                              bool channels_last) {
  if (x.rank() < 2) {
    return Invalid("the input must be [B, channels, ...], but is ",
                   x.ToString());
  }
  const int at = channels_last ? x.rank() - 1 : 1;
  if (x.dim(at) < 1) {
    return Invalid("the input's channels, dimension ", at,
                   ", must be a number, but it is ", x.ToString());
  }
  ChannelLayout layout;
  layout.channels = x.dim(at);
  for (int i = 0; i < at; ++i) layout.outer *= x.dim(i);
  for (int i = at + 1; i < x.rank(); ++i) layout.inner *= x.dim(i);
  return layout;
}

void ChannelMoments(const ChannelLayout& layout, const float* x, void* scratch,
                    float* mean, float* variance) {
  float* means = static_cast<float*>(scratch);
  float* squares = means + layout.scratch_bytes() / 2 / sizeof(float);
  const int64_t channels = layout.channels, inner = layout.inner;
  if (inner == 1) {
    ForRowBlocks(layout, [&](int64_t block, int64_t begin, int64_t rows) {
      RowMoments(x + begin * channels, rows, channels, means + block * channels,
                 squares + block * channels);
    });
    CombineMoments(layout, RowsInBlock(layout), means, squares, mean, variance);
    return;
  }
  ForUnits(layout.outer * channels, inner, [&](int64_t run) {
    RunMoments(x + run * inner, inner, means + run, squares + run);
  });
  CombineMoments(layout, inner, means, squares, mean, variance);
}

void ChannelAffine(const ChannelLayout& layout, const float* x,
                   const float* mean, const float* factor, const float* shift,
                   const float* residual, bool relu, float* y) {
  const Affine affine{x, mean, factor, shift, residual, y};
  if (layout.inner == 1) {
    ForRowBlocks(layout, [&](int64_t, int64_t begin, int64_t rows) {
      AffineRows(affine, relu, begin, begin + rows, layout.channels);
    });
    return;
  }
  ForUnits(layout.outer * layout.channels, layout.inner, [&](int64_t run) {
    AffineRunOf(affine, relu, run % layout.channels, run * layout.inner,
                layout.inner);
  });
}

void ChannelSums(const ChannelLayout& layout, const float* dy, const float* y,
                 const float* x, const float* mean, void* scratch, float* sum,
                 float* moment) {
  float* sums = static_cast<float*>(scratch);
  float* moments = sums + layout.scratch_bytes() / 2 / sizeof(float);
  const int64_t channels = layout.channels, inner = layout.inner;
  const auto from = [&](int64_t at) { return y == nullptr ? y : y + at; };
  if (inner == 1) {
    ForRowBlocks(layout, [&](int64_t block, int64_t begin, int64_t rows) {
      const int64_t at = begin * channels;
      RowSums(dy + at, from(at), x + at, mean, rows, channels,
              sums + block * channels, moments + block * channels);
    });
  } else {
    ForUnits(layout.outer * channels, inner, [&](int64_t run) {
      const int64_t at = run * inner;
      RunSums(dy + at, from(at), x + at, mean[run % channels], inner,
              sums + run, moments + run);
    });
  }
  const int64_t blocks = layout.blocks();
  ParallelFor(channels, kGrain / blocks + 1, [&](int64_t c, int64_t end) {
    for (; c < end; ++c) {
      double s = 0, m = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        s += sums[b * channels + c];
        m += moments[b * channels + c];
      }
      sum[c] = static_cast<float>(s);
      moment[c] = static_cast<float>(m);
    }
  });
}

void ChannelGradient(const ChannelLayout& layout, const float* dy,
                     const float* y, const float* x, const float* mean,
                     const float* a, const float* b, const float* d, float* dx,
                     float* g_out) {
  const Back back{dy, y, x, mean, a, b, d, dx, g_out};
  if (layout.inner == 1) {
    ForRowBlocks(layout, [&](int64_t, int64_t begin, int64_t rows) {
      BackRows(back, begin, begin + rows, layout.channels);
    });
    return;
  }
  ForUnits(layout.outer * layout.channels, layout.inner, [&](int64_t run) {
    BackRun(back, run % layout.channels, run * layout.inner, layout.inner);
  });
}

}  // namespace tamer
