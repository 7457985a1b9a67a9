#include "core/train/step.h"

#include "core/passes/passes.h"
#include "core/passes/recompute.h"
#include "core/train/recipe.h"

namespace tamer {

StepOptions StepOptionsOf(const RecipeDef& recipe, const StageDef& stage) {
  StepOptions options;
  options.precision = recipe.precision();
  options.accumulate = AccumulateOf(recipe, stage);
  options.apart = recipe.parallel().has_gradients();
  if (stage.has_recompute()) {
    options.recompute = stage.recompute();
  } else if (recipe.has_recompute()) {
    options.recompute = recipe.recompute();
  }
  return options;
}

GradientTeam TeamOf(const StepOptions& options, int64_t batch) {
  GradientTeam team;
  if (options.apart && options.accumulate == 1) team.workers = options.workers;
  team.batch = batch;
  team.precision = options.precision;
  return team;
}

absl::StatusOr<StepGraphs> PrepareStep(const Graph& graph,
                                       const StepOptions& options,
                                       int64_t batch) {
  StepGraphs step{graph, Graph(&graph.registry()), false, {}};
  if (options.accumulate > 1 || options.apart) {
    TAMER_ASSIGN_OR_RETURN(AccumulationGraphs split,
                           Accumulate(graph, TeamOf(options, batch)));
    step.accumulates = true;
    step.shared = std::move(split.shared);
    step.graph = std::move(split.gather);
    TAMER_ASSIGN_OR_RETURN(step.update, Fuse(split.update, options.precision));
  }
  if (options.recompute.has_value()) {
    TAMER_ASSIGN_OR_RETURN(step.graph,
                           Recompute(step.graph, *options.recompute, batch));
  }
  TAMER_ASSIGN_OR_RETURN(step.graph, Fuse(step.graph, options.precision));
  return step;
}

}  // namespace tamer
