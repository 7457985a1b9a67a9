#ifndef TAMER_CORE_SAMPLING_PARTITION_H_
#define TAMER_CORE_SAMPLING_PARTITION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/sampling/stack.h"

namespace tamer {

struct PartitionOptions {
  int64_t chains = 100;
  int64_t temperatures = 1000;
  uint64_t seed = 1;
};

// The logarithm of an RBM's partition function, and the same with three
// standard deviations of the estimate taken away and added.
struct LogPartition {
  double value = 0, low = 0, high = 0;
};

// Estimates it by annealed importance sampling from the RBM without weights
// whose visible biases are `base` (the logits of the data's means; [below]),
// inverse temperatures evenly spaced. Bernoulli units both ways, weights tied.
// Neal 2001; Salakhutdinov and Murray 2008, "On the quantitative analysis of
// deep belief networks", section 3.
absl::StatusOr<LogPartition> EstimateLogPartition(
    const Product& product, const TwoWayLayer& layer,
    const std::vector<float>& base, const PartitionOptions& options,
    Variables* variables, Scheduler* scheduler);

// The same by summing over all states of the smaller side, which may have at
// most 25 units.
absl::StatusOr<double> ExactLogPartition(const TwoWayLayer& layer,
                                         const Variables& variables);

}  // namespace tamer

#endif  // TAMER_CORE_SAMPLING_PARTITION_H_
