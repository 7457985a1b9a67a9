#ifndef TAMER_TOOLS_SEARCH_BUDGET_H_
#define TAMER_TOOLS_SEARCH_BUDGET_H_

#include <string>

#include "core/train/recipe.h"

// Short runs that stand for long ones.

namespace tamer {

// Data for trials of one stage: training samples in random order, and samples
// set apart that judge, which are never the recipe's test data.
class TrialData {
 public:
  // Reads the stage's data and writes the judges to `folder`: its validation
  // data, else a sixth of the training data; 5,000 at most. `seed` chooses.
  static absl::StatusOr<TrialData> Make(const Recipe& recipe,
                                        const StageDef& stage,
                                        const OpRegistry& registry,
                                        const std::string& folder);

  // The recipe with this stage alone, so that it costs `share` of the whole
  // stage: fewer samples, fewer epochs, and schedules that reach their end all
  // the same. What it learns is judged as "test_…". At least 50 minibatches.
  absl::StatusOr<RecipeDef> Shortened(double share) const;

  int64_t samples() const { return train_->size; }

 private:
  TrialData() = default;
  RecipeDef def_;  // of this stage alone, with judges for test data
  std::string folder_;
  std::shared_ptr<const Dataset> train_;
};

// The stage with about `ratio` times its epochs, at least one, its schedules
// reaching their end all the same.
void ShortenEpochs(double ratio, StageDef* stage);

}  // namespace tamer

#endif  // TAMER_TOOLS_SEARCH_BUDGET_H_
