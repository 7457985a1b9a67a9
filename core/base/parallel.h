#ifndef TAMER_CORE_BASE_PARALLEL_H_
#define TAMER_CORE_BASE_PARALLEL_H_

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace tamer {

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
  const int threads =
      static_cast<int>(std::min<int64_t>(omp_get_max_threads(), most));
  if (threads <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t share = ((n + threads - 1) / threads + 15) / 16 * 16;
    const int64_t begin = std::min(n, share * omp_get_thread_num());
    const int64_t end = std::min(n, begin + share);
    if (begin < end) body(begin, end);
  }
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
  const int threads = alone ? 1 : omp_get_max_threads();
  if (threads <= 1) {
    body(0, 1);
    return;
  }
#pragma omp parallel num_threads(threads)
  body(omp_get_thread_num(), omp_get_num_threads());
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
