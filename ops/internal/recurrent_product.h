#ifndef TAMER_OPS_INTERNAL_RECURRENT_PRODUCT_H_
#define TAMER_OPS_INTERNAL_RECURRENT_PRODUCT_H_

#include <cstdint>

// Products of few rows, scattered in memory, with a packed panel of columns
// that stays in the first-level cache: a step of a recurrent layer multiplies
// the states of some samples so.

namespace tamer {

// sums[r, 0..16 vectors) = sum over d < depth of a[r][d] * panel[d, …], for
// r < count; `vectors` is 3 or 4. Each sum is in the order of d, whatever
// `count`.
void MultiplyPanel(const float* const* a, int count, int64_t depth,
                   const float* panel, int vectors, float* sums);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_RECURRENT_PRODUCT_H_
