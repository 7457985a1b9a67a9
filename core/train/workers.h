#ifndef TAMER_CORE_TRAIN_WORKERS_H_
#define TAMER_CORE_TRAIN_WORKERS_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/collective/collective.h"
#include "core/train/run_state.h"
#include "core/train/trainer.h"

namespace tamer {

// The data of a run's stages, read once for all workers of this process.
class DataCache {
 public:
  absl::StatusOr<const TrainingData*> Get(const Recipe& recipe,
                                          const StageDef& stage,
                                          const OpRegistry* registry);

 private:
  std::mutex mutex_;
  std::map<std::string, TrainingData> data_;  // by its definition's bytes
};

// What one worker does, given its group (null alone) and who watches it.
using WorkerRun = std::function<absl::StatusOr<TrainResult>(
    Collective* group, Observer* observer)>;

// Runs `work` as the recipe's `parallel` says: alone, in a thread for each
// worker of this process, or as the worker that this process is among those
// that mpirun started. Returns the result of the first worker, or the error
// that began it all. Only the first worker's observer hears what happens.
absl::StatusOr<TrainResult> OnWorkers(const Recipe& recipe,
                                      const OpRegistry& registry,
                                      Observer* observer,
                                      const WorkerRun& work);

// The threads of one worker: its share of the cores, if the recipe says none.
ThreadOptions WorkerThreads(const RunState& run);

// An error unless all workers train the same network by the same recipe, on the
// same data, with the same Tamer and the same plugins.
absl::Status CheckSameWork(const RunState& run);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_WORKERS_H_
