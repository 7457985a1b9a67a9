#ifndef TAMER_CORE_TRAIN_STAGE_START_H_
#define TAMER_CORE_TRAIN_STAGE_START_H_

#include "core/train/run_state.h"

namespace tamer {

// Why a stage runs: for the first time, to go on from its own product, or once
// more from its start.
enum class StageMode { kFirst, kContinue, kAgain };

// The product that stage `index` starts from; one without an identifier for
// initial values.
absl::StatusOr<ProductInfo> FindParent(const RunState& run, int index,
                                       StageMode mode);

// Puts the stage's first variables and progress into `run`, says what was
// loaded, and writes a first rolling checkpoint, from which even a stage that
// stops in its first second continues.
absl::Status StartStage(RunState* run, int index, StageMode mode,
                        const TrainingData& data);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_STAGE_START_H_
