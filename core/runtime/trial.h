#ifndef TAMER_CORE_RUNTIME_TRIAL_H_
#define TAMER_CORE_RUNTIME_TRIAL_H_

#include <vector>

#include "core/graph/graph.h"
#include "core/plan/plan.h"

namespace tamer {

// Memory for all inputs of a graph, to run its plan without data: floats are
// uniform in [0, 1), scalars (rates) `scalar`, integers zero.
class TrialInputs {
 public:
  // `plan` is of `graph`; this must outlive its runs.
  void Bind(const Graph& graph, Plan& plan, float scalar);

 private:
  std::vector<Buffer> buffers_;
};

// On how many threads, 1 to `most`, a step of `graph` is fastest. Large steps,
// where that is plain, get them all; small ones are timed for some milliseconds
// on variables of their own, with 1, 2, 4, … threads, and more threads win if
// they are faster by more than noise: on some machines cores pass data to one
// another so slowly that one is faster than two. Bits don't depend on it.
absl::StatusOr<int> ChooseThreads(const Graph& graph,
                                  const PlanOptions& options, int most);

}  // namespace tamer

#endif  // TAMER_CORE_RUNTIME_TRIAL_H_
