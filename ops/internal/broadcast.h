#ifndef TAMER_OPS_INTERNAL_BROADCAST_H_
#define TAMER_OPS_INTERNAL_BROADCAST_H_

#include <cstdint>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/shape.h"
#include "core/base/status.h"

namespace tamer {

// An error unless b, input `index`, can be spread over input 0, a: their shapes
// are aligned at the last dimension, and each of b's dimensions is a's or 1;
// those it lacks count as 1.
absl::Status CheckBroadcast(const Shape& a, const Shape& b, int index = 1);

// b spread over a, as rows of a: each row meets as many elements of b, or one.
struct Broadcast {
  int64_t rows = 1, n = 1;  // a is [rows, n]
  bool single = false;      // whether a row meets one element
  // Where in b each row's begin; all 0 if empty.
  std::vector<int64_t> offsets;

  // For bound shapes that CheckBroadcast accepts.
  Broadcast(const Shape& a, const Shape& b);

  int64_t offset(int64_t row) const {
    return offsets.empty() ? 0 : offsets[row];
  }
};

// Calls body(at, b, n) on pieces of a row that cover all of a, on the team: n
// elements from a's element `at` meet those from b's element `b`, or that one.
template <typename Body>
void ForBroadcast(const Broadcast& spread, int64_t grain, const Body& body) {
  const int64_t n = spread.n;
  if (spread.rows == 1) {
    ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
      body(begin, spread.single ? 0 : begin, end - begin);
    });
    return;
  }
  ParallelFor(spread.rows, grain / n + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r * n, spread.offset(r), n);
  });
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_BROADCAST_H_
