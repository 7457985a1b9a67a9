#ifndef TAMER_OPS_INTERNAL_PREFETCH_H_
#define TAMER_OPS_INTERNAL_PREFETCH_H_

#include <cstdint>

namespace tamer {

// Asks for `n` floats that will be read soon. For rows of a matrix that another
// core has just written: each of their cache lines takes long to come, rows are
// too short for the hardware to foresee the next, and many can be under way at
// once.
inline void Prefetch(const float* data, int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t i = 0; i < n; i += kLine) __builtin_prefetch(data + i);
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_PREFETCH_H_
