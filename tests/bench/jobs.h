#ifndef TAMER_TESTS_BENCH_JOBS_H_
#define TAMER_TESTS_BENCH_JOBS_H_

#include <memory>
#include <string>
#include <vector>

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

// A job's step on data that repeat after a few minibatches, with rates so small
// that the numbers stay as they are however often it runs.
class Stepper {
 public:
  Stepper(const Job& job, int threads);  // 0: all cores
  const Plan& plan() const { return *plan_; }
  // One minibatch.
  void Step();

 private:
  static constexpr int kMinibatches = 8;
  std::vector<Buffer> features_;  // a minibatch each
  std::vector<int32_t> labels_;
  float rate_ = 1e-6f, momentum_ = 0.5f;
  Variables variables_;
  std::unique_ptr<Plan> plan_;
  Scheduler scheduler_;
  int input_ = -1;
  uint64_t step_ = 0;
};

}  // namespace tamer

#endif  // TAMER_TESTS_BENCH_JOBS_H_
