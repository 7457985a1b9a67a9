#ifndef TAMER_CORE_PASSES_ACCUMULATE_H_
#define TAMER_CORE_PASSES_ACCUMULATE_H_

#include "core/graph/graph.h"

namespace tamer {

// A training graph in two, for several minibatches before each update. `gather`
// runs for each minibatch: all but clipping and updates; instead "gather/VAR"
// puts each gradient into the variable "accumulated/VAR", which becomes keep *
// itself + share * gradient by the scalar inputs of these names: the mean over
// all samples so far. `update`, after the last minibatch, clips and updates by
// what was accumulated. It has no outputs.
inline constexpr char kAccumulated[] = "accumulated/";
inline constexpr char kAccumulateShare[] = "accumulate_share";
inline constexpr char kAccumulateKeep[] = "accumulate_keep";
struct AccumulationGraphs {
  Graph gather, update;
};
absl::StatusOr<AccumulationGraphs> Accumulate(const Graph& training);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_ACCUMULATE_H_
