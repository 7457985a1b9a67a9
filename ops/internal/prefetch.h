#ifndef TAMER_OPS_INTERNAL_PREFETCH_H_
#define TAMER_OPS_INTERNAL_PREFETCH_H_

#include <algorithm>
#include <cstdint>

namespace tamer {

// Asks for `n` floats that will be read soon. For rows of a matrix that another
// core has just written: each of their cache lines takes long to come, rows are
// too short for the hardware to foresee the next, and many can be under way at
// once. Ask only for what will be read: a line too many is taken from the core
// that needs it.
inline void Prefetch(const float* data, int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t i = 0; i < n; i += kLine) __builtin_prefetch(data + i);
}

// Asks for the line of `data`, which will be written: also of another core that
// has read it since, so that the store needn't wait for its leave. No hardware
// foresees stores; even of lines in the core's second-level cache a run of them
// takes a third of the time if they were asked for.
inline void PrefetchToWrite(const void* data) {
#if defined(__x86_64__)
  asm volatile("prefetchw (%0)" : : "r"(data));
#else
  __builtin_prefetch(data, 1);
#endif
}

inline void PrefetchToWrite(const float* data, int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t i = 0; i < n; i += kLine) PrefetchToWrite(data + i);
}

// For a walk through rows of `columns` floats: begins with the first few, and
// with each row asks for one farther on.
class RowPrefetcher {
 public:
  RowPrefetcher(const float* data, int64_t rows, int64_t stride,
                int64_t columns)
      : data_(data),
        rows_(rows),
        stride_(stride),
        columns_(columns),
        ahead_(std::clamp<int64_t>(kAhead / std::max<int64_t>(1, columns), 1,
                                   kMostRows)) {
    for (int64_t r = 0; r < std::min(ahead_, rows); ++r) Ask(r);
  }
  void Enter(int64_t row) const {
    if (row + ahead_ < rows_) Ask(row + ahead_);
  }

 private:
  // Floats that the first-level cache has room for beside all else.
  static constexpr int64_t kAhead = 4096, kMostRows = 6;
  void Ask(int64_t row) const { Prefetch(data_ + row * stride_, columns_); }

  const float* data_;
  int64_t rows_, stride_, columns_, ahead_;
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_PREFETCH_H_
