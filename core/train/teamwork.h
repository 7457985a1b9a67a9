#ifndef TAMER_CORE_TRAIN_TEAMWORK_H_
#define TAMER_CORE_TRAIN_TEAMWORK_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/collective/collective.h"
#include "core/graph/graph.h"
#include "core/parallel/averaging.h"
#include "core/parallel/flat.h"
#include "core/plan/variables.h"
#include "core/train/executor.h"
#include "core/train/memory_choice.h"
#include "core/train/row_exchange.h"

namespace tamer {

// One worker's part in a phase that several train together. With no group it
// does nothing and answers for one worker.
class Teamwork {
 public:
  Teamwork(const ParallelDef& def, Collective* group, Variables* variables)
      : def_(def), group_(group), variables_(variables) {}

  bool averages_gradients() const {
    return group_ != nullptr && def_.has_gradients();
  }
  int workers() const { return group_ == nullptr ? 1 : group_->size(); }
  int rank() const { return group_ == nullptr ? 0 : group_->rank(); }
  bool leads() const { return rank() == 0; }

  // What the trained graph's nodes change is averaged from now on.
  absl::Status Train(const Graph& graph, const Executor& executor);

  // Workers of one process that average gradients may have what `graph` updates
  // in common, and each updates a part. If all its updates allow it, and
  // nothing says that it is slower: makes it so, adding what is missing by
  // `seed`; else everyone has memory of its own. To be called by all at once
  // before the graph is compiled; older plans may not run any more.
  absl::Status ChooseMemory(const Graph& graph, uint64_t seed);
  // What this one updates of what they have in common.
  WorkPart part() const {
    return common_.empty() ? WorkPart() : WorkPart{rank(), workers()};
  }
  // Whether memory should be chosen anew, as the other way is faster here and
  // now: all are told the same in a step.
  bool memory_changes() const { return votes_.change > 0; }
  // After each update: waits until the other parts are done.
  absl::Status EndUpdate();
  // Everyone gets memory of its own again. No plan may run after this.
  absl::Status SeparateMemory();

  // With gradients {}: the mean, over all workers' samples, of the gradients
  // that `executor`, which runs the graph, gathered in the "accumulated/…"
  // variables, and the rows that it shares. To be called by all before each
  // update; carries AfterStep's votes along.
  absl::Status AverageGradients(const Executor& executor, bool stop, bool save);

  // What all agree on after a step.
  struct Agreement {
    bool stop = false;   // one of them was asked to
    bool save = false;   // the first one finds a checkpoint due
    double samples = 0;  // of all since the last averaging; 0: there was none
  };
  // To be called after each step of `epoch` (from 0), on `samples` samples,
  // which ended in the update `update` (from 1), or, if 0, in none. Averages if
  // a period ends here, or the epoch.
  absl::StatusOr<Agreement> AfterStep(int64_t update, int64_t epoch,
                                      int64_t samples, bool epoch_ends,
                                      bool stop, bool save);

  // Adds each number up over all workers; they go to the first one, and the
  // others begin at zero.
  absl::Status MergeSums(std::vector<double>* sums);
  // All workers' numbers, one row after another.
  absl::Status GatherRows(std::vector<double>* row);
  // A value of the first worker's, to all.
  absl::Status Share(bool* value);

  // For a checkpoint: what workers have of their own, to the first one; then
  // forgotten there.
  absl::Status GatherOwn();
  void ForgetOwn();

  // See Averaging.
  void ShowCenter();
  void HideCenter();

  // How this epoch's work was spread, for its line in metrics.jsonl; the first
  // worker's. Empty without a group.
  struct Balance {
    double waiting = 0;  // mean share of the time spent waiting for others
    int slowest = 0;     // the worker that waited least
    double bytes = 0;    // sent by each worker
    double averagings = 0;
  };
  absl::StatusOr<Balance> TakeBalance();

 private:
  absl::Status SumGradients(int64_t samples);
  bool PeriodEnds(int64_t update, int64_t epoch) const;

  const ParallelDef& def_;
  Collective* group_;
  Variables* variables_;
  std::unique_ptr<Averaging> averaging_;
  FlatView gradients_;
  Buffer sums_;  // of gradients, and votes
  RowExchange rows_;
  StepVotes votes_ = {};  // the last sums
  double waiting_ = 0, bytes_ = 0;
  MemoryChoice choice_;
  bool may_share_ = false;
  bool try_common_ = true;           // where it may
  std::vector<std::string> common_;  // variables in everybody's memory
  std::vector<std::string> own_;     // variables in which workers differ
  bool stop_ = false, save_ = false;
  int64_t samples_ = 0;  // since the last averaging
  int64_t averagings_ = 0;
  std::chrono::steady_clock::time_point began_ =
      std::chrono::steady_clock::now();
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_TEAMWORK_H_
