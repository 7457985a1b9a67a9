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

}  // namespace tamer

// Compiles a function of plain loops once for each vector width and picks at
// load time. Sanitizers run before the picking works, so not under them.
#if defined(TAMER_SANITIZED) || !defined(__x86_64__) || defined(__clang__)
#define TAMER_VECTORIZED
#else
#define TAMER_VECTORIZED \
  __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif

#endif  // TAMER_CORE_BASE_PARALLEL_H_
