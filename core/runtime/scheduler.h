#ifndef TAMER_CORE_RUNTIME_SCHEDULER_H_
#define TAMER_CORE_RUNTIME_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/team.h"
#include "core/plan/plan.h"

namespace tamer {

struct ThreadOptions {
  // OpenMP threads inside each op, if the plan doesn't say; 0: cores /
  // inter_op.
  int intra_op = 0;
  // Steps of a plan that run at once. With 1 there is no thread but the caller.
  int inter_op = 1;
};

// Runs plans. With inter_op above 1 it keeps that many threads less one (the
// caller is one), which sleep between runs; a step starts as soon as all it
// waits for are done. Allocates nothing while running. One Run at a time.
class Scheduler {
 public:
  explicit Scheduler(const ThreadOptions& options);
  ~Scheduler();

  // Runs all steps of `plan` once. `step` numbers the run for random streams.
  // On an error no further steps are started; the first error in plan order is
  // returned, with the node's name. With inter_op above 1 the plan must have
  // been compiled with parallel_branches.
  absl::Status Run(Plan& plan, uint64_t step);

  // The same with the steps one after another on this thread, however many
  // threads there are; seconds[i] becomes the time that step `i` took.
  absl::Status RunTimed(Plan& plan, uint64_t step,
                        std::vector<double>* seconds);

  // Threads of a plan that names none itself, and whether they were left to
  // choose (intra_op 0, no parallel branches).
  int intra_op() const { return intra_op_; }
  bool may_choose() const { return choose_; }

 private:
  class Workers;
  void PrepareTeam(const Plan& plan);
  template <typename RunOne>
  absl::Status InOrder(const Plan& plan, const RunOne& run);

  const bool choose_;
  int intra_op_;
  const Plan* last_plan_ = nullptr;  // only compared
  std::unique_ptr<Team> team_;  // of the last plan; none of one thread
  std::unique_ptr<Workers> workers_;
};

}  // namespace tamer

#endif  // TAMER_CORE_RUNTIME_SCHEDULER_H_
