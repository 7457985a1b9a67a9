#ifndef TAMER_TESTS_BENCH_JOBS_H_
#define TAMER_TESTS_BENCH_JOBS_H_

#include <memory>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/graph/graph.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "proto/precision.pb.h"

// The jobs whose speed is followed, each the step of a graph.

namespace tamer {

// Ends the program with the error.
[[noreturn]] void Fail(const absl::Status& status);
template <typename T>
T Check(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

struct Job {
  // "mlp_train_10_bf16": what, minibatch, and precision unless it is FP32.
  std::string name;
  // Without fusion, whose nodes tell the job's arithmetic.
  Graph graph;
  int64_t batch = 10;
  Precision precision = FP32;
  // Whether parameters stay as they are.
  bool prediction = false;
  // Whether the fuse pass goes over the graph first.
  bool fuse = true;

  // Operations in matrix products of one step: the rest is overhead.
  double Flops() const;
};

// The built-in ops.
const OpRegistry& Registry();

// The names of all jobs, and one of them; its graph is made when asked for.
std::vector<std::string> JobNames();
Job MakeJob(const std::string& name);

// Training of `depth` ReLU layers of `width` units on input as wide, and ten
// classes.
Job MakeStack(int64_t width, int depth, int64_t batch);

// MNIST's first thousand digits, from a folder with the four IDX files.
std::shared_ptr<const Dataset> ReadDigits(const std::string& folder);

struct Minibatch {
  Buffer features;
  std::vector<int32_t> labels;
};

// A job's step on data that repeat after a while, with rates so small that the
// numbers stay as they are however often it runs.
class Stepper {
 public:
  // With no `threads` on all cores. Samples are made-up numbers, none of them
  // zero; or with `digits` those, scaled to [0, 1], in jobs that take 784
  // numbers.
  Stepper(const Job& job, int threads, const Dataset* digits = nullptr);
  const Plan& plan() const { return *plan_; }
  // One minibatch.
  void Step();

 private:
  std::vector<Minibatch> minibatches_;
  float rate_ = 1e-6f, momentum_ = 0.5f;
  Variables variables_;
  std::unique_ptr<Plan> plan_;
  Scheduler scheduler_;
  int input_ = -1, labels_ = -1;  // of the plan, if it has them
  uint64_t step_ = 0;
};

}  // namespace tamer

#endif  // TAMER_TESTS_BENCH_JOBS_H_
