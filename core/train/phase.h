#ifndef TAMER_CORE_TRAIN_PHASE_H_
#define TAMER_CORE_TRAIN_PHASE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/collective/collective.h"
#include "core/data/loader.h"
#include "core/plan/arena.h"
#include "core/plan/variables.h"
#include "core/runtime/scheduler.h"
#include "core/train/metrics_log.h"
#include "core/train/observer.h"
#include "core/train/step.h"
#include "proto/checkpoint.pb.h"

namespace tamer {

// One graph trained for a number of epochs: a fine-tuning stage, or one layer
// of a pretraining stage.
struct Phase {
  std::string stage;
  std::string layer;  // "" when fine-tuning
  // What a pass made, and the epoch (from 0) with which it begins; the first
  // begins with 0. Scalar outputs, the same of all, are averaged over each
  // epoch.
  std::vector<std::pair<int64_t, const Graph*>> graphs;
  std::shared_ptr<const Dataset> data;
  FeatureScaling scaling;
  std::shared_ptr<const Augmenter> augment;  // of the training data, or null
  bool mix = false;  // whether it may mix samples
  int buckets = 1;  // lengths of minibatches; see LoaderOptions
  SolverDef solver;
  // The last epoch's number, counted from 1 over all generations of the stage.
  int64_t epochs = 0;
  int64_t batch = 10;
  uint64_t seed = 1;
  bool parallel_branches = false;
  StepOptions step;
  // What `record` runs shares it with the training.
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  float checkpoint_every_seconds = 60;
  int64_t checkpoint_every_steps = 0;  // 0: none

  // The workers that train it together, and how; null: this one alone. Only
  // the first one validates, saves and logs.
  Collective* group = nullptr;
  ParallelDef parallel;

  // Metrics to add at the end of an epoch (of validation data); may be null.
  std::function<absl::StatusOr<EpochMetrics>()> validate;
  // What is wrong with the network after so many epochs, a line each (see
  // monitor.h); may be null. Each is told, and if asked for ends the run.
  std::function<absl::StatusOr<std::vector<std::string>>(int64_t)> watch;
  bool stop_on_warning = false;
  // Called at the end of each epoch that counts so many before it and itself,
  // once its metrics are on record; may be null.
  std::function<absl::Status(int64_t epoch)> record;
  // With early stopping, the name of the validation metric to watch.
  const EarlyStoppingDef* early_stopping = nullptr;
  // Writes a rolling checkpoint.
  std::function<absl::Status(const ProgressDef&)> save;
};

// Runs the phase from `progress` on (a fresh one begins at the first step) and
// keeps `progress` up to date. Returns false if the observer asked to stop;
// then everything is saved. At the end the variables hold the product: the last
// epoch's values, or with early stopping the best one's.
absl::StatusOr<bool> RunPhase(const Phase& phase, Variables* variables,
                              Scheduler* scheduler, MetricsLog* log,
                              Observer* observer, ProgressDef* progress);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_PHASE_H_
