#ifndef TAMER_CORE_PARALLEL_AVERAGING_H_
#define TAMER_CORE_PARALLEL_AVERAGING_H_

#include <memory>
#include <string>
#include <vector>

#include "core/collective/collective.h"
#include "core/plan/variables.h"
#include "proto/parallel.pb.h"

namespace tamer {

// What the workers have: variables that training changes, by how they are
// treated. All FLOAT.
struct WorkerVariables {
  // Parameters, and running statistics of the network's: averaged.
  std::vector<std::string> parameters;
  // The solver's state.
  std::vector<std::string> optimizer;
};

// Numbers that are added up over the workers beside an averaging: each worker
// writes its own and reads the sums.
struct Ballot {
  float samples = 0;  // trained on since the last averaging: a worker's weight
  float stop = 0;     // whether it was asked to stop
  float save = 0;     // whether a checkpoint is due
};

// How workers' parameters become one another's: plain averaging, or with an
// outer step, as ParallelDef says. One abstraction covers most methods: with
// the mean change of a period d = mean - anchor, where the anchor is what the
// last period began with,
//   v = momentum v + d,   anchor = anchor + rate (d + nesterov momentum v),
// and plain averaging is rate 1 and momentum 0. Every worker holds the same
// anchor and computes the same step, so nothing is sent but the mean.
//
// Sums have the order of the ranks: results don't depend on the transport.
class Averaging {
 public:
  // `group` and `variables` must outlive it. The anchor and v live in
  // `variables`, as "parallel/…": they are found there when a run goes on.
  static absl::StatusOr<std::unique_ptr<Averaging>> Make(
      const ParallelDef& def, const WorkerVariables& names, Collective* group,
      Variables* variables);
  ~Averaging();

  // To be called by all workers at once when a period ends. `ballot` gets the
  // sums. An error if a worker has left.
  absl::Status Combine(Ballot* ballot);

  // With `overlap`, an averaging is under way when Combine returns: this waits
  // for it and averages once more, so that all stand alike. Else nothing.
  absl::Status Settle();

  // For elastic averaging: puts the center in the parameters' place, and the
  // worker's own back. Else nothing.
  void ShowCenter();
  void HideCenter();

  // Since the last call: seconds spent in Combine, of them waiting for others;
  // and the bytes that this worker sent.
  struct Cost {
    double seconds = 0;
    double waiting = 0;
    double bytes = 0;
  };
  Cost TakeCost();

 private:
  class Impl;
  explicit Averaging(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What becomes of the solver's state, DEFAULT resolved.
ParallelDef::OptimizerState OptimizerStateOf(const ParallelDef& def);

}  // namespace tamer

#endif  // TAMER_CORE_PARALLEL_AVERAGING_H_
