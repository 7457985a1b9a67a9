#ifndef TAMER_CORE_BASE_PARALLEL_H_
#define TAMER_CORE_BASE_PARALLEL_H_

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "core/base/team.h"

namespace tamer {

// Of work on memory that several workers of this process have in common, each
// does a part: its OpenMP team is taken for one of `count` equal parts of a
// larger team. The others do the rest at about the same time, and nobody waits
// here for them.
struct WorkPart {
  int index = 0, count = 1;
};

// This thread's part, while a WorkPartScope lives.
inline thread_local WorkPart work_part;

class WorkPartScope {
 public:
  explicit WorkPartScope(const WorkPart& part) : before_(work_part) {
    work_part = part;
  }
  ~WorkPartScope() { work_part = before_; }
  WorkPartScope(const WorkPartScope&) = delete;
  WorkPartScope& operator=(const WorkPartScope&) = delete;

 private:
  const WorkPart before_;
};

// Threads that work is cut for: this team's, times the parts.
inline int TeamSize() {
  return std::max(1, omp_get_max_threads()) * work_part.count;
}

// Calls body(begin, end) on consecutive ranges that cover [0, n), spread over
// the calling thread's OpenMP team: the very threads that oneDNN uses, so the
// two never fight for cores. Ranges hold at least `grain` elements and begin at
// multiples of 16. Work below two grains stays on this thread.
//
// How [0, n) is cut depends on the number of threads, so `body` must give each
// element a value that doesn't depend on the cut: elementwise work does; a sum
// does not (use fixed blocks).
template <typename Body>
void ParallelFor(int64_t n, int64_t grain, const Body& body) {
  const int64_t most = std::max<int64_t>(1, n / std::max<int64_t>(1, grain));
  const int cuts = static_cast<int>(std::min<int64_t>(TeamSize(), most));
  const int team = std::max(1, omp_get_max_threads());
  const int first = work_part.index * team;
  const int threads = std::min(team, cuts - first);
  const int64_t share = ((n + cuts - 1) / cuts + 15) / 16 * 16;
  if (threads <= 0) return;
  OnThreads(threads, [&](int thread, int present) {
    for (; thread < threads; thread += present) {
      const int64_t begin = std::min(n, share * (first + thread));
      const int64_t end = std::min(n, begin + share);
      if (begin < end) body(begin, end);
    }
  });
}

struct IndexRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// Part `part` of [0, n) cut in `parts`, each within one half of [0, n) if there
// are several: with an odd number the last part is empty.
//
// All that touches a parameter [rows, columns] in every step gives its rows to
// threads by this rule: what one core changed last, it reads again itself. On
// some machines a cache line that must come from the other core's cache costs
// as much as a thousand multiply-adds.
inline IndexRange OwnedPart(int64_t n, int part, int parts) {
  if (parts <= 1) return {0, n};
  const int a_half = parts / 2;
  if (part >= 2 * a_half) return {n, n};
  const int64_t middle = (n + 1) / 2;
  const bool upper = part >= a_half;
  const int64_t first = upper ? middle : 0;
  const int64_t size = upper ? n - middle : middle;
  const int index = upper ? part - a_half : part;
  return {first + size * index / a_half, first + size * (index + 1) / a_half};
}

// Calls body(t, threads) on each thread of the calling thread's team, or with
// `alone` on this thread only, as (0, 1).
template <typename Body>
void OnTeam(bool alone, const Body& body) {
  const WorkPart part = work_part;
  if (alone && part.index > 0) return;
  const int threads = alone ? 1 : omp_get_max_threads();
  if (threads <= 1) {
    if (alone) return body(0, 1);
    return body(part.index, part.count);
  }
  OnThreads(threads, [&](int thread, int present) {
    body(part.index * present + thread, part.count * present);
  });
}

}  // namespace tamer

// Compiles a function of plain loops once for each vector width and picks at
// load time. Sanitizers run before the picking works, so not under them.
#if defined(TAMER_SANITIZED) || !defined(__x86_64__) || defined(__clang__)
#define TAMER_VECTORIZED
#else
#define TAMER_VECTORIZED \
  __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif

// Into whatever vector width the caller is compiled for.
#define TAMER_INLINE inline __attribute__((always_inline))

#endif  // TAMER_CORE_BASE_PARALLEL_H_
