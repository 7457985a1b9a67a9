#include "ops/internal/sums.h"

#include <algorithm>

#include "core/base/parallel.h"

namespace tamer {
namespace {

constexpr int64_t kBlock = 4096;
constexpr int kLanes = 16;

TAMER_VECTORIZED double BlockSum(const float* x, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
  }
  for (int lane = 0; i + lane < n; ++lane) lanes[lane] += x[i + lane];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

TAMER_VECTORIZED double BlockSumSquares(const float* x, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i + lane < n; ++lane) {
    const double value = x[i + lane];
    lanes[lane] += value * value;
  }
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

template <typename Block>
double SumBlocks(const float* x, int64_t n, void* scratch, Block block) {
  double* partial = static_cast<double*>(scratch);
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  ParallelFor(blocks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      partial[b] = block(x + b * kBlock, std::min(kBlock, n - b * kBlock));
    }
  });
  double sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += partial[b];
  return sum;
}

TAMER_VECTORIZED void AddRow(const float* x, int64_t n, float* out) {
  for (int64_t c = 0; c < n; ++c) out[c] += x[c];
}

}  // namespace

int64_t SumScratchBytes(int64_t n) {
  return ((n + kBlock - 1) / kBlock) * static_cast<int64_t>(sizeof(double));
}

double Sum(const float* x, int64_t n, void* scratch) {
  return SumBlocks(x, n, scratch, BlockSum);
}

double SumSquares(const float* x, int64_t n, void* scratch) {
  return SumBlocks(x, n, scratch, BlockSumSquares);
}

void SumRows(const float* x, int64_t rows, int64_t columns, float factor,
             float* out) {
  const int64_t grain =
      std::max<int64_t>(64, 32768 / std::max<int64_t>(1, rows));
  ParallelFor(columns, grain, [&](int64_t begin, int64_t end) {
    std::fill(out + begin, out + end, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      AddRow(x + r * columns + begin, end - begin, out + begin);
    }
    if (factor == 1) return;
    for (int64_t c = begin; c < end; ++c) out[c] *= factor;
  });
}

TAMER_VECTORIZED void AddScaledRow(const float* x, float factor, int64_t n,
                                   float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += factor * x[i];
}

}  // namespace tamer
