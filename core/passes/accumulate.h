#ifndef TAMER_CORE_PASSES_ACCUMULATE_H_
#define TAMER_CORE_PASSES_ACCUMULATE_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "proto/precision.pb.h"

namespace tamer {

inline constexpr char kAccumulated[] = "accumulated/";
inline constexpr char kAccumulateShare[] = "accumulate_share";
inline constexpr char kAccumulateKeep[] = "accumulate_keep";

// Workers that average their gradients in each step.
struct GradientTeam {
  int workers = 1;
  int64_t batch = 1;  // samples of a worker's full minibatch
  Precision precision = FP32;
};

// Rows that go from each worker to all.
struct SharedRows {
  std::string rows;  // an output of `gather`, [n, width]
  std::string all;   // an input of `update`, [workers * n, width]
  // What a worker's rows are multiplied by, so that the product of all is the
  // gradient of the mean over all samples: nothing; its share of the samples;
  // or, if the product is divided by the minibatch's size, all workers' full
  // minibatches over the samples that there were.
  enum Weight { kNone, kShare, kFill };
  Weight weight = kNone;
};

// A training graph in two, for several minibatches, or several workers, before
// each update. `gather` runs for each minibatch: all but clipping and updates;
// instead "gather/VAR" puts each gradient into the variable "accumulated/VAR",
// which becomes keep * itself + share * gradient by the scalar inputs of these
// names: the mean over all samples so far. `update`, after the last minibatch,
// clips and updates by what was accumulated. It has no outputs.
//
// With a team, gradients that are products of a minibatch's few rows aren't
// gathered: `shared` are their factors, which are much smaller, and `update`
// makes the product over all workers' rows. Xie et al. 2016, "Lighter-
// communication distributed machine learning via sufficient factor
// broadcasting". Not with clipping, which needs the gradients themselves.
struct AccumulationGraphs {
  Graph gather, update;
  std::vector<SharedRows> shared;
};
absl::StatusOr<AccumulationGraphs> Accumulate(const Graph& training,
                                              const GradientTeam& team = {});

// Whether each row of what a training graph's updates change depends on no
// other, so that workers can share the rows out among them: all are built-in
// rules without max_norm, and no gradient is clipped.
bool UpdatesByRows(const Graph& training);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_ACCUMULATE_H_
