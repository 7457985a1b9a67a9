#ifndef TAMER_CORE_TRAIN_RUN_STATE_H_
#define TAMER_CORE_TRAIN_RUN_STATE_H_

#include <memory>
#include <string>

#include "core/collective/collective.h"
#include "core/plan/variables.h"
#include "core/runtime/scheduler.h"
#include "core/train/metrics_log.h"
#include "core/train/observer.h"
#include "core/train/products.h"
#include "core/train/recipe.h"

namespace tamer {

// What a run holds while it goes from stage to stage.
struct RunState {
  const Recipe& recipe;
  const OpRegistry& registry;
  const std::string path;
  Observer* observer;
  // The workers that train together; null: this one alone.
  Collective* group = nullptr;

  Graph network;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<MetricsLog> log;
  std::unique_ptr<MetricsLog> histograms;  // null: none are kept
  // Of the running stage: its variables, where it stands, and the product that
  // it started from (without an identifier if there is none).
  std::unique_ptr<Variables> variables;
  ProgressDef progress;
  ProductInfo parent;

  RunState(const Recipe& recipe_in, const OpRegistry& registry_in,
           const std::string& path_in, Observer* observer_in)
      : recipe(recipe_in),
        registry(registry_in),
        path(path_in),
        observer(observer_in),
        network(&registry_in) {}

  // Whether this worker reads and writes the run directory.
  bool leads() const { return group == nullptr || group->rank() == 0; }

  // What stands beside the running stage's tensors, without progress or
  // metrics.
  ManifestDef NewManifest(const StageDef& stage,
                          const TrainingData& data) const;
  // Writes a rolling checkpoint.
  absl::Status Save(const StageDef& stage, const TrainingData& data) const;
  // Sets progress to where the layer's last generation left off, or to its
  // first step.
  void BeginLayer(int layer);
};

// A layer with what only the data tell.
PretrainLayer Resolved(PretrainLayer layer, const TrainingData& data);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_RUN_STATE_H_
