#ifndef TAMER_CORE_TRAIN_STAGE_RUN_H_
#define TAMER_CORE_TRAIN_STAGE_RUN_H_

#include <memory>
#include <set>
#include <string>

#include "core/train/finetuning.h"
#include "core/train/histograms.h"
#include "core/train/phase.h"
#include "core/train/run_state.h"

namespace tamer {

// Runs one stage's phases and makes its product.
class StageRun {
 public:
  // All must outlive it.
  StageRun(RunState* run, const StageDef& stage, const TrainingData& data)
      : run_(*run), stage_(stage), data_(data) {}

  // Goes on from where run->progress stands. Returns false if the observer
  // asked to stop; then everything is saved.
  absl::StatusOr<bool> Run();

  // Evaluates on test data, writes the product, and removes the rolling
  // checkpoints.
  absl::StatusOr<ProductInfo> Finish();

 private:
  absl::StatusOr<bool> Pretrain();
  absl::StatusOr<bool> PretrainOne(const PretrainLayer& layer);
  absl::StatusOr<bool> Finetune();
  Phase NewPhase();
  // Lets the phase keep histograms of what it trains in `network`, if the run
  // does.
  absl::Status KeepHistograms(const Graph& network, Phase* phase);
  void EndLayer(const std::string& prefix);
  absl::StatusOr<std::set<std::string>> Untrained();
  const SolverDef& SolverOf(const PretrainLayer& layer) const {
    return layer.has_solver() ? layer.solver() : stage_.solver();
  }
  // Whether a variable is the network's own, or of what pretraining adds to it;
  // and whether it belongs in the stage's product.
  bool OfNetwork(const std::string& name) const;
  bool InProduct(const std::string& name) const;

  RunState& run_;
  const StageDef& stage_;
  const TrainingData& data_;
  std::unique_ptr<FinetuneSetup> finetuning_;
  std::unique_ptr<Histograms> histograms_;  // of the running phase
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_STAGE_RUN_H_
