#ifndef TAMER_OPS_INTERNAL_POOLING_VECTORS_H_
#define TAMER_OPS_INTERNAL_POOLING_VECTORS_H_

#include <cstdint>

// Pooling's innermost loops.

namespace tamer {

// For each i of n: where x[i * stride] is above best[i], or NaN, it becomes
// best[i], and place[i] becomes `tap`.
void MaxTap(const float* x, int64_t stride, int32_t tap, int64_t n, float* best,
            int32_t* place);

// sum[i] += x[i * stride].
void AddTap(const float* x, int64_t stride, int64_t n, float* sum);

// The sum of x[0, n).
float SumOf(const float* x, int64_t n);

void MultiplyBy(float factor, int64_t n, float* x);

// dx[k * inner + c] += factor * dy[c], for k of n and c of `inner`.
void SpreadOver(const float* dy, float factor, int64_t inner, int64_t n,
                float* dx);

void StoreBytes(const int32_t* from, int64_t n, uint8_t* to);

// A window in a plane with channels last: its elements, as steps between them,
// and the taps' numbers.
struct TapBox {
  int64_t nz = 1, ny = 1, nx = 1;
  int64_t step_z = 0, step_y = 0, step_x = 0;
  int32_t tap = 0, tap_z = 0, tap_y = 0;  // of the first, and steps
};

// Whether this CPU runs those below.
bool HasPoolVectors();

// The maxima of n windows of 2 x 2 that stand side by side over two rows, and
// their places (0 to 3) unless `place` is null.
void MaxOfPairs(const float* above, const float* below, int64_t n, float* y,
                uint8_t* place);

// The way back: writes both rows' 2 n elements.
void PairsOfMax(const float* dy, const uint8_t* place, int64_t n, float* above,
                float* below);

// The same with channels last: pixels of `channels` numbers.
void MaxOfQuads(const float* above, const float* below, int64_t n,
                int64_t channels, float* y, uint8_t* place);
void QuadsOfMax(const float* dy, const uint8_t* place, int64_t n,
                int64_t channels, float* above, float* below);

// The maximum of a window whose first element is `x`, for n channels.
void MaxOfBox(const float* x, const TapBox& box, int64_t n, float* y,
              uint8_t* place);

// The way back: adds to the window's elements.
void BoxOfMax(const float* dy, const uint8_t* place, const TapBox& box,
              int64_t n, float* dx);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_POOLING_VECTORS_H_
