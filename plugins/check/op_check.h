#ifndef TAMER_PLUGINS_CHECK_OP_CHECK_H_
#define TAMER_PLUGINS_CHECK_OP_CHECK_H_

#include <string>
#include <vector>

#include "plugins/check/isolate.h"
#include "plugins/check/trial.h"

namespace tamer {

// Operand types (batched) and parameters to try an op with.
struct TrialCase {
  std::vector<TensorType> types;
  std::shared_ptr<const OpParams> params;
  std::string text;  // as it was written, or what was thought of
};

// Those of an op that has no examples: shapes that its rule accepts.
std::vector<TrialCase> GuessCases(const Op& op, int inputs);

// "[B, 6] [B, 6] { units: 4 }" as a case; the error says what cannot be read.
absl::StatusOr<TrialCase> ParseCase(const Op& op, const std::string& text);

// What the checks have to know beside the op.
struct OpTraits {
  bool in_place = false;
  bool differentiable = false;
};

// Everything that is checked of one op with one case, at several batch sizes.
void CheckOpCase(const OpRegistry& registry, const Op& op,
                 const TrialCase& trial_case, const OpTraits& traits,
                 Findings& findings);

}  // namespace tamer

#endif  // TAMER_PLUGINS_CHECK_OP_CHECK_H_
