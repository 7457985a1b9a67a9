#ifndef TAMER_CORE_PLAN_PLAN_H_
#define TAMER_CORE_PLAN_PLAN_H_

#include <memory>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/graph/graph.h"
#include "core/plan/arena.h"
#include "core/plan/variables.h"

namespace tamer {

struct PlanOptions {
  // Samples in a minibatch: what the graph's B stands for.
  int64_t batch = 10;
  // Of all random streams in the graph.
  uint64_t seed = 1;
  // Whether independent nodes may run at once. Buffers are then shared only
  // between nodes that depend on one another.
  bool parallel_branches = false;
  // OpenMP threads that the kernels are made for and run on; 0: the calling
  // thread's team now, and the scheduler's when it runs.
  int threads = 0;
  // What the kernels do of work that others share in; see WorkPart.
  WorkPart part;
  // Whether variables keep the values that they have at the first run, as in
  // prediction; kernels may then hold copies of them.
  bool fixed_variables = false;
  // Memory that this plan shares with others that never run while it does;
  // null: its own.
  std::shared_ptr<Arena> arena;
};

// One node, ready to run.
struct PlanStep {
  NodeId node = -1;  // in the graph
  std::string name;
  std::unique_ptr<Kernel> kernel;
  std::vector<Tensor> inputs;  // inputs, then variables
  std::vector<Tensor> outputs;
  void* scratch = nullptr;
  // Whether it may run while a Team is held: it opens no OpenMP regions but
  // through OnTeam and ParallelFor.
  bool holds_team = false;
  // Steps (by index) that wait for this one, and how many this one waits for.
  std::vector<int> successors;
  int predecessors = 0;
};

// A graph compiled for one batch size: kernels in order, each tensor at its
// fixed address. Nodes that neither lead to an output of the graph nor change a
// variable are left out. Everything is decided here; running decides nothing.
//
// A variable is read as it was when the step began: nodes that change it run
// after all that read it. Two nodes may not change the same variable.
//
// Not thread-safe: one run at a time. `variables` must outlive the plan.
class Plan {
 public:
  Plan() = default;
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  static absl::StatusOr<std::unique_ptr<Plan>> Compile(
      const Graph& graph, const PlanOptions& options, Variables* variables);

  // Index for BindInput of the graph input called `name`, or -1 if the graph
  // has none or no step reads it.
  int FindInput(const std::string& name) const;
  // Makes the steps read this input from `data`, which must hold the input's
  // type at this batch size, stay put until the run is over, and be aligned to
  // its element. No allocation.
  void BindInput(int input, const void* data);
  const TensorType& input_type(int input) const { return inputs_[input].type; }

  // Where the graph's output called `name` stands after a run; null data if
  // there is no such output. An output that is itself an input or variable is
  // that one's memory.
  Tensor FindOutput(const std::string& name) const;
  // The same by its place among the graph's outputs.
  const Tensor& output(int index) const { return outputs_[index].second; }

  int64_t batch() const { return batch_; }
  // As PlanOptions said.
  int threads() const { return threads_; }
  const WorkPart& part() const { return part_; }
  // In an order in which each step comes after those it waits for.
  std::vector<PlanStep>& steps() { return steps_; }
  const std::vector<PlanStep>& steps() const { return steps_; }
  // Bytes planned for what nodes compute, with buffers reused, scratch
  // included, of an arena that may be larger; and what they would take with a
  // buffer each.
  int64_t arena_bytes() const { return arena_bytes_; }
  int64_t unplanned_bytes() const { return unplanned_bytes_; }

 private:
  friend class PlanCompiler;
  friend class Arena;
  struct Slot {
    int step;
    int input;
  };
  struct BoundInput {
    std::string name;
    TensorType type;
    std::vector<Slot> slots;
    int output = -1;  // the graph's output that it is, if any
  };

  // The arena's `bytes` at `from` are at `to` now.
  void Move(const void* from, int64_t bytes, void* to);

  int64_t batch_ = 0;
  int threads_ = 0;
  WorkPart part_;
  std::vector<PlanStep> steps_;
  std::vector<BoundInput> inputs_;
  std::vector<std::pair<std::string, Tensor>> outputs_;
  std::shared_ptr<Arena> arena_;
  int64_t arena_bytes_ = 0;
  int64_t unplanned_bytes_ = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_PLAN_PLAN_H_
