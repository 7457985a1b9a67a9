#include "core/runtime/scheduler.h"

#include <omp.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace tamer {
namespace {

KernelArgs ArgsOf(const PlanStep& step, uint64_t number) {
  KernelArgs args;
  args.inputs = step.inputs;
  args.outputs = step.outputs;
  args.scratch = step.scratch;
  args.step = number;
  return args;
}

absl::Status RunStep(const Plan& plan, const PlanStep& step, uint64_t number) {
  const WorkPartScope part(plan.part());
  absl::Status status = step.kernel->Run(ArgsOf(step, number));
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat("node \"", step.name, "\""));
}

// Numbers below 1e-38 are taken for zero: a decaying velocity would otherwise
// make each operation on it a hundred times slower.
#if defined(__x86_64__)
constexpr unsigned kFlush = 0x8040;  // flush to zero, denormals are zero
unsigned Mode() { return _mm_getcsr(); }
void SetMode(unsigned mode) { _mm_setcsr(mode); }
#else
constexpr unsigned kFlush = 0;
unsigned Mode() { return 0; }
void SetMode(unsigned) {}
#endif

// While it lives, this thread is in that mode; the caller's own comes back.
class FlushDenormals {
 public:
  FlushDenormals() : before_(Mode()) { SetMode(before_ | kFlush); }
  ~FlushDenormals() { SetMode(before_); }

 private:
  const unsigned before_;
};

// Gives this thread an OpenMP team of that size, its workers in the mode, too:
// they have that of whoever started them, which may have been before any plan
// ran.
void UseTeam(int intra_op) {
  omp_set_num_threads(intra_op);
#pragma omp parallel num_threads(intra_op)
  SetMode(Mode() | kFlush);
}

}  // namespace

// The threads of inter_op > 1, and what they share. One mutex guards it all: a
// step takes far longer than the lock is held.
class Scheduler::Workers {
 public:
  Workers(int threads, int intra_op) : intra_op_(intra_op) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { Work(); });
    }
  }

  ~Workers() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      quit_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Run(Plan& plan, uint64_t number) {
    std::unique_lock<std::mutex> lock(mutex_);
    const std::vector<PlanStep>& steps = plan.steps();
    // Grows at the first run of a larger plan, never after.
    if (waits_.size() < steps.size()) {
      waits_.resize(steps.size());
      ready_.resize(steps.size());
    }
    plan_ = &plan;
    number_ = number;
    head_ = tail_ = 0;
    left_ = steps.size();
    running_ = 0;
    failed_ = steps.size();
    error_ = absl::OkStatus();
    for (size_t i = 0; i < steps.size(); ++i) {
      waits_[i] = steps[i].predecessors;
      if (waits_[i] == 0) ready_[tail_++] = static_cast<int>(i);
    }
    wake_.notify_all();
    TakeSteps(lock);
    plan_ = nullptr;
    return error_;
  }

 private:
  bool Over() const {
    const bool failed = plan_ != nullptr && failed_ < plan_->steps().size();
    return plan_ == nullptr || left_ == 0 || (failed && running_ == 0);
  }
  bool CanTake() const {
    return plan_ != nullptr && head_ < tail_ &&
           failed_ == plan_->steps().size();
  }

  // Runs steps until the plan is over; holds the lock but while a step runs.
  void TakeSteps(std::unique_lock<std::mutex>& lock) {
    while (true) {
      wake_.wait(lock, [this] { return quit_ || Over() || CanTake(); });
      if (quit_ || Over()) return;
      const int index = ready_[head_++];
      ++running_;
      const PlanStep& step = plan_->steps()[index];
      const uint64_t number = number_;
      const Plan& plan = *plan_;
      lock.unlock();
      absl::Status status = RunStep(plan, step, number);
      lock.lock();
      --running_;
      Finish(step, index, std::move(status));
    }
  }

  void Finish(const PlanStep& step, int index, absl::Status status) {
    --left_;
    if (!status.ok() && static_cast<size_t>(index) < failed_) {
      failed_ = index;
      error_ = std::move(status);
    }
    size_t added = 0;
    for (int next : step.successors) {
      if (--waits_[next] > 0) continue;
      ready_[tail_++] = next;
      ++added;
    }
    // This thread takes one of them itself.
    if (added > 1 || Over()) wake_.notify_all();
  }

  void Work() {
    const FlushDenormals flush;
    UseTeam(intra_op_);
    std::unique_lock<std::mutex> lock(mutex_);
    while (!quit_) {
      wake_.wait(lock, [this] { return quit_ || CanTake(); });
      if (!quit_) TakeSteps(lock);
    }
  }

  const int intra_op_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool quit_ = false;
  Plan* plan_ = nullptr;  // the one that runs
  uint64_t number_ = 0;
  std::vector<int> waits_;  // a step each
  std::vector<int> ready_;  // steps in the order they became so
  size_t head_ = 0, tail_ = 0;
  size_t left_ = 0;     // steps not over
  size_t running_ = 0;  // steps under way
  size_t failed_ =
      0;  // the first failed step in plan order; none: their number
  absl::Status error_;
};

Scheduler::Scheduler(const ThreadOptions& options)
    : choose_(options.intra_op == 0 && options.inter_op <= 1) {
  const int inter_op = std::max(1, options.inter_op);
  const int cores =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  intra_op_ =
      options.intra_op > 0 ? options.intra_op : std::max(1, cores / inter_op);
  if (inter_op > 1) {
    workers_ = std::make_unique<Workers>(inter_op - 1, intra_op_);
  }
}

Scheduler::~Scheduler() = default;

// Between two runs of one plan nobody else has changed the team.
void Scheduler::PrepareTeam(const Plan& plan) {
  const int team = plan.threads() > 0 ? plan.threads() : intra_op_;
  if (last_plan_ == &plan && omp_get_max_threads() == team) return;
  UseTeam(team);
  last_plan_ = &plan;
  if (team == 1) {
    team_ = nullptr;
  } else if (team_ == nullptr || team_->size() != team) {
    team_ = std::make_unique<Team>(team);
  }
}

// Calls run(i) for each step, up to the first error; a stretch of steps that
// may while the team is held.
template <typename RunOne>
absl::Status Scheduler::InOrder(const Plan& plan, const RunOne& run) {
  const std::vector<PlanStep>& steps = plan.steps();
  absl::Status status;
  for (size_t begin = 0, end; begin < steps.size() && status.ok();
       begin = end) {
    end = begin;
    while (end < steps.size() && steps[end].holds_team) ++end;
    const bool holds = team_ != nullptr && end > begin + 1;
    end = std::max(end, begin + 1);
    const auto stretch = [&] {
      for (size_t i = begin; i < end && status.ok(); ++i) status = run(i);
    };
    if (holds) {
      team_->Hold(stretch);
    } else {
      stretch();
    }
  }
  return status;
}

absl::Status Scheduler::RunTimed(Plan& plan, uint64_t step,
                                 std::vector<double>* seconds) {
  const FlushDenormals flush;
  PrepareTeam(plan);
  seconds->resize(plan.steps().size());
  auto before = std::chrono::steady_clock::now();
  return InOrder(plan, [&](size_t i) {
    absl::Status status = RunStep(plan, plan.steps()[i], step);
    const auto after = std::chrono::steady_clock::now();
    (*seconds)[i] = std::chrono::duration<double>(after - before).count();
    before = after;
    return status;
  });
}

absl::Status Scheduler::Run(Plan& plan, uint64_t step) {
  const FlushDenormals flush;
  PrepareTeam(plan);
  if (workers_ != nullptr) return workers_->Run(plan, step);
  return InOrder(
      plan, [&](size_t i) { return RunStep(plan, plan.steps()[i], step); });
}

}  // namespace tamer
