#ifndef TAMER_CORE_PARALLEL_RATES_H_
#define TAMER_CORE_PARALLEL_RATES_H_

#include <string>

#include "core/base/status.h"
#include "proto/parallel.pb.h"

namespace tamer {

// What the solver's learning rate is multiplied by with so many workers, by the
// recipe's learning_rate_correction, and why.
//
// The old advice, to lower the rate, holds for updates that are summed. Where
// they are averaged, N workers take N times fewer steps over the data, each
// along a mean that is less noisy: docs/parallel.md has the measurements that
// AUTO follows.
struct RateCorrection {
  float factor = 1;
  std::string why;
};
RateCorrection CorrectRate(const ParallelDef& def, int workers);

// An error, with the mend, if the numbers make no sense or options don't go
// together.
absl::Status CheckParallel(const ParallelDef& def);

}  // namespace tamer

#endif  // TAMER_CORE_PARALLEL_RATES_H_
