#ifndef TAMER_PLUGINS_CHECK_TRIAL_H_
#define TAMER_PLUGINS_CHECK_TRIAL_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/op/gradient.h"
#include "core/op/registry.h"
#include "plugins/check/fenced.h"

namespace tamer {

// One op with parameters and operands in fenced memory, run without a graph.
struct Trial {
  const OpRegistry* registry = nullptr;
  const Op* op = nullptr;
  std::shared_ptr<const OpParams> params;
  int64_t batch = 1;
  std::vector<FencedTensor> inputs;
  std::vector<FencedTensor> variables;
  Inference inference;  // its shapes bound to the batch

  // Infers for these types, which may be batched, binds them, and fills inputs
  // and variables with numbers that `seed` fixes: FLOAT in [-1, 1), INT32 in
  // [0, limit).
  static absl::StatusOr<Trial> Make(const OpRegistry& registry, const Op& op,
                                    std::shared_ptr<const OpParams> params,
                                    const std::vector<TensorType>& types,
                                    int64_t batch, int32_t limit,
                                    uint64_t seed);

  // "[B, 6] B = 2".
  std::string ToString() const;

  absl::StatusOr<std::unique_ptr<Kernel>> Compile() const;
};

struct TrialRun {
  std::vector<FencedTensor> outputs;
  std::vector<FencedTensor> inputs, variables;  // as they were left
  bool intact = true;  // nothing was written beyond an end
};

// Runs the trial's kernel on copies of its operands. Outputs begin with every
// byte `fill`; output 0 stands in input 0's memory if `in_place`.
absl::StatusOr<TrialRun> RunTrial(const Trial& trial, Kernel& kernel,
                                  int fill = 0xff, bool in_place = false);

// Gradients at inputs and variables (by index, inputs first) of
// sum(weights * output 0).
absl::StatusOr<std::map<int, FencedTensor>> TrialGradient(
    const Trial& trial, const std::vector<FencedTensor>& outputs,
    const FencedTensor& weights, const std::vector<int>& wanted);

}  // namespace tamer

#endif  // TAMER_PLUGINS_CHECK_TRIAL_H_
