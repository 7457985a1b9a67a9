#ifndef TAMER_OPS_INTERNAL_SUMS_H_
#define TAMER_OPS_INTERNAL_SUMS_H_

#include <cstdint>

namespace tamer {

// Sums in an order that depends on the sizes alone, never on threads.

// Bytes of scratch that a sum over n numbers needs.
int64_t SumScratchBytes(int64_t n);

// Sum of x[0, n): fixed blocks, each in double, combined in order.
double Sum(const float* x, int64_t n, void* scratch);
// Sum of the squares.
double SumSquares(const float* x, int64_t n, void* scratch);

// out[c] = factor * sum over rows of x[r, c], for a [rows, columns] matrix.
void SumRows(const float* x, int64_t rows, int64_t columns, float factor,
             float* out);

// sum[i] += factor * x[i].
void AddScaledRow(const float* x, float factor, int64_t n, float* sum);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_SUMS_H_
