#ifndef TAMER_CORE_TRAIN_PRETRAINING_H_
#define TAMER_CORE_TRAIN_PRETRAINING_H_

#include <memory>
#include <vector>

#include "core/passes/passes.h"
#include "core/train/phase.h"
#include "core/train/recipe.h"

namespace tamer {

// One layer of a pretraining stage, ready to run: for methods that learn one
// layer, what the layers below make of the data is computed once (unless it
// would take too much memory), and the network begins above them.
struct PretrainSetup {
  Graph network;
  Graph graph;  // what the pass made
  std::shared_ptr<const Dataset> train, validation;
  FeatureScaling scaling;

  explicit PretrainSetup(const OpRegistry* registry)
      : network(registry), graph(registry) {}
};
absl::StatusOr<PretrainSetup> SetUpPretraining(
    const Graph& network, const PretrainLayer& layer, const SolverDef& solver,
    const TrainingData& data, Variables* variables, Scheduler* scheduler);

// Gives parameters the values that the method begins with (StartValues).
absl::Status ApplyStartValues(const PretrainSetup& setup,
                              const PretrainLayer& layer, Variables* variables,
                              Scheduler* scheduler);

// What an RBM is watched by at the end of each epoch, on up to 1000 samples of
// the training data, always the same: "pseudo_likelihood" (the logarithm, an
// estimate by one flipped bit a sample; Bernoulli units), "free_energy", with
// validation data "free_energy_gap" (validation less training: it grows when
// the RBM overfits; Hinton 2010, section 6), "hidden_mean", "weight_norm" (mean
// length of units' incoming weights) and a histogram of hidden activities in
// ten bins.
class RbmMonitor {
 public:
  // Whether the layer has what it takes: an RBM with logistic hidden units.
  static bool Watches(const PretrainSetup& setup, const PretrainLayer& layer);
  static absl::StatusOr<std::unique_ptr<RbmMonitor>> Make(
      const PretrainSetup& setup, const PretrainLayer& layer,
      Variables* variables, Scheduler* scheduler);
  ~RbmMonitor();

  absl::StatusOr<EpochMetrics> Measure();

 private:
  class Impl;
  explicit RbmMonitor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_PRETRAINING_H_
