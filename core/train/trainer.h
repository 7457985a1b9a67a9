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
  // Instead of all stages: the one to go on with, from its newest product with
  // its optimizer's state and fantasy particles, for as many epochs as the
  // recipe says and then those done before; the recipe's data, minibatch and
  // this stage may have been changed. Makes the product's next generation.
  std::string continue_stage;
  // Instead of all stages: the one to do once more, from what is now the newest
  // product that it starts from.
  std::string again_stage;
};

struct TrainResult {
  // Whether every stage is finished; if not, training the same recipe in the
  // same run directory continues.
  bool finished = false;
  // The last finished stage's product, "" if none is.
  std::string product;
};

// Trains all stages of `recipe`. A run directory holds run.pbtxt (the resolved
// recipe, network and versions), metrics.jsonl, histograms.jsonl, a product
// (products.h) for each
// finished stage, and rolling-N while a stage runs.
absl::StatusOr<TrainResult> Train(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const TrainOptions& options,
                                  Observer* observer);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_TRAINER_H_
