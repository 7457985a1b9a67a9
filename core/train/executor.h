#ifndef TAMER_CORE_TRAIN_EXECUTOR_H_
#define TAMER_CORE_TRAIN_EXECUTOR_H_

#include <memory>
#include <string>
#include <vector>

#include "core/data/loader.h"
#include "core/plan/arena.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "core/train/step.h"

namespace tamer {

// A kind of minibatch: how many samples, and how many steps in time these have
// (0: as many as the graph's input).
struct BatchShape {
  int64_t size = 0;
  int64_t length = 0;
};

struct ExecutorOptions {
  int64_t batch = 10;
  // All kinds of minibatches that Run will see; if empty, `batch` samples and
  // the last, smaller rest of the data.
  std::vector<BatchShape> shapes;
  // Of all random streams in the graph.
  uint64_t seed = 0;
  // Whether independent nodes may run at once.
  bool parallel_branches = false;
  StepOptions step;
  // What Update does of what workers share out; see WorkPart.
  WorkPart part;
  // Of plans that run in turn with these, whose outputs nobody needs when the
  // others run; null: one of its own.
  std::shared_ptr<Arena> arena;
};

// Samples whose gradients were gathered since the last update: a variable, so
// that a checkpoint holds it.
inline constexpr char kAccumulatedSamples[] = "accumulated_samples";

// An error if the samples of `data` are not what the graph's inputs take, or
// its loss needs labels that `data` lacks.
absl::Status CheckFits(const Graph& graph, const Dataset& data);

// Runs one graph on the minibatches of a data set: a Plan for each kind of
// minibatch, the full and the last, smaller one if nothing else is said, over
// the same variables and in one arena, as large as the largest needs.
//
// The graph's inputs are fed by name: "labels" and "targets" from the batch's
// labels (targets are the labels as floats, or one-hot if wider than one; of
// mixed samples the mean by their shares),
// "lengths" from its lengths, "learning_rate" and "momentum" from the setters,
// and the one input left from the batch's features or tokens, whose number must
// agree.
class Executor {
 public:
  // Fuses and compiles `graph`. `data` tells the sizes. `scheduler` and
  // `variables` must outlive the executor; variables that are missing get their
  // initial values by `seed`.
  static absl::StatusOr<std::unique_ptr<Executor>> Make(
      const Graph& graph, const Dataset& data, const ExecutorOptions& options,
      Variables* variables, Scheduler* scheduler);

  void set_learning_rate(float rate) { learning_rate_ = rate; }
  void set_momentum(float momentum) { momentum_ = momentum; }

  // Runs the plan for batch.size and batch.length; an error if no such kind was
  // foreseen. Allocates nothing.
  absl::Status Run(const Batch& batch, uint64_t step);

  // Whether `batch` is the last of its update's minibatches; always, unless
  // several are accumulated.
  bool EndsUpdate(const Batch& batch) const;
  // After the Run of such a one: changes the parameters by what was gathered,
  // if Run didn't. Outputs stay.
  absl::Status Update(uint64_t step);
  // Samples whose gradients were gathered since the last update; 0 where Run
  // updates.
  int64_t gathered() const {
    return update_ == nullptr ? 0 : samples_.ints()[0];
  }

  // What workers that average gradients share between Run and Update: nothing
  // where these are of several minibatches.
  struct Shared {
    // As Run left it, [n, width]; of a smaller minibatch less.
    const Tensor* own = nullptr;
    Tensor all;  // what Update reads, [workers * n, width]
    SharedRows::Weight weight = SharedRows::kNone;
  };
  const std::vector<Shared>& shared() const { return shared_; }

  // Samples of a full minibatch.
  int64_t batch() const { return plans_.front().shape.size; }

  // A graph output's index for Output(), or -1.
  int FindOutput(const std::string& name) const;
  // Bytes of the arena that all plans share.
  int64_t arena_bytes() const { return arena_->bytes(); }

  // The tensor as the last Run left it.
  const Tensor& Output(int index) const {
    return current_->plan->output(index);
  }

 private:
  struct Sized {
    BatchShape shape;
    std::unique_ptr<Plan> plan;
    int features = -1, labels = -1, targets = -1, lengths = -1;
    int64_t target_width = 1;
  };

  Executor() = default;
  absl::Status AddPlan(const Graph& graph, const BatchShape& shape,
                       PlanOptions options, Variables* variables);
  void BindInputs();
  absl::Status Choose(const Batch& batch);
  absl::Status AddUpdate(const StepGraphs& step, PlanOptions options,
                         Variables* variables);
  absl::Status FillTargets(const Batch& batch, int64_t width);

  Scheduler* scheduler_ = nullptr;
  std::shared_ptr<Arena> arena_;
  std::vector<std::string> output_names_;
  std::vector<Sized> plans_;
  Sized* current_ = nullptr;
  Buffer targets_;
  float learning_rate_ = 0;
  float momentum_ = 0;
  // With accumulation; null without.
  std::unique_ptr<Plan> update_;
  int accumulate_ = 1;
  Tensor samples_;
  float share_ = 1, keep_ = 0;
  std::vector<Shared> shared_;
  std::vector<int> shared_outputs_;  // of each plan, by place in shared_
  std::vector<Buffer> shared_buffers_;
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_EXECUTOR_H_
