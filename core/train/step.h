#ifndef TAMER_CORE_TRAIN_STEP_H_
#define TAMER_CORE_TRAIN_STEP_H_

#include <optional>
#include <vector>

#include "core/graph/graph.h"
#include "core/passes/accumulate.h"
#include "proto/precision.pb.h"
#include "proto/recipe.pb.h"

namespace tamer {

// How a graph that a pass made is run.
struct StepOptions {
  Precision precision = FP32;
  // Minibatches before each update.
  int accumulate = 1;
  // Whether updates are a graph of their own even so: so many workers average
  // their gradients in between.
  bool apart = false;
  int workers = 1;
  // Whether, and how, values are computed again instead of kept.
  std::optional<RecomputeDef> recompute;
};

// As a stage of a recipe says.
StepOptions StepOptionsOf(const RecipeDef& recipe, const StageDef& stage);

// Those who share rows between a step and its update: rows are of one
// minibatch.
GradientTeam TeamOf(const StepOptions& options, int64_t batch);

// What Plans are compiled of.
struct StepGraphs {
  // For each minibatch.
  Graph graph;
  // After so many minibatches, if the options accumulate; else empty.
  Graph update;
  bool accumulates = false;
  // What workers share before the update, beside accumulated gradients.
  std::vector<SharedRows> shared;
};

// The last passes: accumulation, recomputing, fusing. `batch`, samples in a
// minibatch, is what memory is estimated with.
absl::StatusOr<StepGraphs> PrepareStep(const Graph& graph,
                                       const StepOptions& options,
                                       int64_t batch);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_STEP_H_
