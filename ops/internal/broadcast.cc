#include "ops/internal/broadcast.h"

#include <algorithm>

namespace tamer {

absl::Status CheckBroadcast(const Shape& a, const Shape& b, int index) {
  bool fits = b.rank() <= a.rank();
  const int missing = a.rank() - b.rank();
  for (int i = 0; fits && i < b.rank(); ++i) {
    fits = b.dim(i) == 1 || b.dim(i) == a.dim(missing + i);
  }
  if (fits) return absl::OkStatus();
  return Invalid("input ", index, " must have input 0's shape, ", a.ToString(),
                 ", or one that is spread over it (its last dimensions, each ",
                 "as large or 1), but is ", b.ToString());
}

Broadcast::Broadcast(const Shape& a, const Shape& b) {
  const int rank = a.rank(), missing = rank - b.rank();
  std::vector<int64_t> strides(rank, 0);  // of a's dimensions, in b
  int64_t step = 1;
  for (int i = rank - 1; i >= missing; --i) {
    if (b.dim(i - missing) == 1) continue;
    strides[i] = step;
    step *= a.dim(i);
  }
  // The last dimensions that are alike are the row.
  int inner = rank;
  bool decided = false;
  for (; inner > 0; --inner) {
    if (a.dim(inner - 1) == 1) continue;
    const bool spread = strides[inner - 1] == 0;
    if (decided && spread != single) break;
    single = spread;
    decided = true;
  }
  if (!decided) single = true;
  for (int i = inner; i < rank; ++i) n *= a.dim(i);
  for (int i = 0; i < inner; ++i) rows *= a.dim(i);
  if (std::all_of(strides.begin(), strides.begin() + inner,
                  [](int64_t stride) { return stride == 0; })) {
    return;
  }
  std::vector<int64_t> index(inner, 0);
  int64_t offset = 0;
  for (int64_t r = 0; r < rows; ++r) {
    offsets.push_back(offset);
    for (int i = inner - 1; i >= 0; --i) {
      offset += strides[i];
      if (++index[i] < a.dim(i)) break;
      offset -= strides[i] * a.dim(i);
      index[i] = 0;
    }
  }
}

}  // namespace tamer
