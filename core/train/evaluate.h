#ifndef TAMER_CORE_TRAIN_EVALUATE_H_
#define TAMER_CORE_TRAIN_EVALUATE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/loader.h"
#include "core/plan/variables.h"
#include "core/runtime/scheduler.h"
#include "core/train/observer.h"
#include "proto/recipe.pb.h"

namespace tamer {

struct Evaluation {
  int64_t samples = 0;
  double loss = 0;
  // The loss's own metric, "accuracy" or "rmse"; "" if it has none.
  std::string metric;
  double metric_value = 0;
  // The recipe's further ones.
  MetricValues more;
  // confusion[label][prediction], for classifiers with labels; else empty.
  std::vector<std::vector<int64_t>> confusion;
  double seconds = 0;

  // loss and metric, their names beginning with `prefix`.
  MetricValues Values(const std::string& prefix) const;
};

// How many samples at once such a graph is run on: 200, or fewer if one of its
// values would be larger than 16 MiB.
int64_t EvaluationBatch(const Graph& graph);

// Loss, metric and confusion of `network` over all of `data`, as for prediction
// (no dropout).
absl::StatusOr<Evaluation> EvaluateOn(
    const Graph& network, const FinetuneDef& finetune, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler);

// The same at the end of an epoch, as "validation_…".
absl::StatusOr<EpochMetrics> ValidateOn(
    const Graph& network, const FinetuneDef& finetune, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler);

// Runs `graph` over all of `data`, in order, and gives each minibatch's result
// for the value called `output` to `take` (rows of it, and how many).
absl::Status ForEachOutput(
    const Graph& graph, const std::string& output, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler,
    const std::function<void(const Tensor&, const Batch&)>& take);

// What `network` makes of all of `data` at the value called `value`, as a data
// set of rows; null if it would be larger than is sensible to keep (4 GiB).
absl::StatusOr<std::shared_ptr<const Dataset>> ComputeFeatures(
    const Graph& network, const std::string& value, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_EVALUATE_H_
