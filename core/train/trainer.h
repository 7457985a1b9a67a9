#ifndef TAMER_CORE_TRAIN_TRAINER_H_
#define TAMER_CORE_TRAIN_TRAINER_H_

#include <string>

#include "core/train/observer.h"
#include "core/train/recipe.h"

namespace tamer {

struct TrainOptions {
  // The run directory; made if it isn't there. One that holds an interrupted
  // run of the same recipe is continued, to the very bytes that an
  // uninterrupted run gives; one that holds another recipe's is refused.
  std::string run;
};

struct TrainResult {
  // Whether every stage is finished; if not, training the same recipe in the
  // same run directory continues.
  bool finished = false;
  // The last finished stage's product, "" if none is.
  std::string product;
};

// Trains all stages of `recipe`. A run directory holds run.pbtxt (the resolved
// recipe, network and versions), metrics.jsonl, STAGE.product for each finished
// stage, and rolling-N while a stage runs.
absl::StatusOr<TrainResult> Train(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const TrainOptions& options,
                                  Observer* observer);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_TRAINER_H_
