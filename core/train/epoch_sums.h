#ifndef TAMER_CORE_TRAIN_EPOCH_SUMS_H_
#define TAMER_CORE_TRAIN_EPOCH_SUMS_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/train/executor.h"
#include "core/train/observer.h"
#include "core/train/teamwork.h"
#include "proto/checkpoint.pb.h"

namespace tamer {

// What a training graph's scalar outputs (its loss, its metrics) add up to over
// an epoch's samples; of several workers each has its own until the epoch ends.
// How many samples these were is in the progress of the phase.
class EpochSums {
 public:
  // Adds up the scalar outputs of `graph`, which `executor` runs, from now on.
  void Follow(const Graph& graph, const Executor& executor);

  void Clear() { sums_.assign(names_.size(), 0.0); }
  // Takes up what Write left in a checkpoint; the worker's part of it.
  void Read(const Teamwork& team, ProgressDef* progress);
  // Into `progress`, that of the first worker. To be called by all at once.
  absl::Status Write(Teamwork* team, ProgressDef* progress) const;

  // After a run over `samples` samples. Gives the place of the first output
  // that is not finite, where training ends; or -1.
  int Add(const Executor& executor, int64_t samples);
  const std::string& name(int output) const { return names_[output]; }

  // At an epoch's end all workers' go to the first one, samples too. To be
  // called by all at once.
  absl::Status Merge(Teamwork* team, ProgressDef* progress);
  MetricValues Means(int64_t samples) const;

 private:
  std::vector<std::string> names_;
  std::vector<int> outputs_;  // of the executor
  std::vector<double> sums_;
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_EPOCH_SUMS_H_
