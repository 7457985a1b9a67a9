#ifndef TAMER_CORE_TRAIN_HISTOGRAMS_H_
#define TAMER_CORE_TRAIN_HISTOGRAMS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/train/executor.h"
#include "core/train/metrics_log.h"
#include "core/train/phase.h"

namespace tamer {

// How some numbers are spread: `counts` of them in equal steps from `low` to
// `high`, the least and the greatest. Of large tensors a sample is counted,
// evenly over them; what is not finite is left out.
struct Histogram {
  std::string name;
  std::string kind;  // "weight" or "activation"
  double low = 0, high = 0, mean = 0, deviation = 0;
  std::vector<int64_t> counts;
};
Histogram MakeHistogram(const float* values, int64_t count);

// How the parameters that a phase trains, and the activities of their nodes,
// change from epoch to epoch: lines of histograms.jsonl. Nothing of it has a
// part in training. Activities are those of the training data's first
// minibatch, as for prediction.
class Histograms {
 public:
  // All but `phase` must outlive it.
  static absl::StatusOr<std::unique_ptr<Histograms>> Make(
      const Graph& network, const Phase& phase,
      std::shared_ptr<const Dataset> data, const FeatureScaling& scaling,
      Variables* variables, Scheduler* scheduler, MetricsLog* log);

  // Appends this epoch's line, the first one's always, a later one's if by then
  // it costs less than a hundredth of the time that went by since the last.
  absl::Status Record(int64_t epoch);

 private:
  Histograms() = default;
  absl::Status MeasureActivities(std::vector<Histogram>* found);
  absl::Status AddActivities(const Graph& network,
                             std::shared_ptr<const Dataset> data,
                             const FeatureScaling& scaling, const Phase& phase,
                             Scheduler* scheduler);

  std::string stage_, layer_;
  Variables* variables_ = nullptr;
  MetricsLog* log_ = nullptr;
  std::vector<std::string> weights_;  // variables
  std::vector<std::string> activities_;
  std::unique_ptr<Executor> executor_;  // null: no activities
  std::unique_ptr<Loader> loader_;
  const Batch* batch_ = nullptr;
  std::chrono::steady_clock::time_point last_;
  double cost_ = 0;  // of the last line, in seconds
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_HISTOGRAMS_H_
