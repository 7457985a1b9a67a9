#ifndef TAMER_CORE_PROFILE_ROOFLINE_H_
#define TAMER_CORE_PROFILE_ROOFLINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/op/registry.h"

namespace tamer {

// What a machine can do, measured: Williams, Waterman and Patterson 2009,
// "Roofline: an insightful visual performance model for multicore
// architectures". Work of F operations on B bytes takes at least
// max(F / peak, B / bandwidth).
struct Roofline {
  struct Level {
    std::string name;             // "L2"
    int64_t bytes = 0;            // of the working set measured, all threads
    double bytes_per_second = 0;  // read and written, a byte counted each time
  };

  int threads = 1;
  double fma_flops = 0;       // a second, of multiply-adds in registers
  double matmul_flops = 0;    // of the registry's best matrix product
  std::vector<Level> levels;  // from the nearest cache to memory

  // Of the nearest level that holds so many bytes; the farthest else.
  double BandwidthFor(int64_t working_set) const;
};

// Only matmul_flops: the best of ten FP32 products of 1536 by 1536, on so many
// threads (0: all cores).
absl::StatusOr<double> MeasureMatmulPeak(const OpRegistry& registry,
                                         int threads);

// Measures for about a second and a half. Threads are those of OpenMP.
absl::StatusOr<Roofline> MeasureRoofline(const OpRegistry& registry,
                                         int threads);

}  // namespace tamer

#endif  // TAMER_CORE_PROFILE_ROOFLINE_H_
