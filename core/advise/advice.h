#ifndef TAMER_CORE_ADVISE_ADVICE_H_
#define TAMER_CORE_ADVISE_ADVICE_H_

#include <string>
#include <vector>

#include "core/advise/source_text.h"
#include "core/graph/graph.h"
#include "core/train/recipe.h"

// What an experienced trainer would say of a recipe, its network and its data
// before any time is spent on training.

namespace tamer {

// A warning tells of what is likely to cost accuracy or the whole run; a hint
// of what is worth a thought.
enum class Severity { kWarning, kHint };

// One piece of the craft. `docs/advice.md` is printed from these.
struct RuleInfo {
  std::string id;  // "double-softmax"
  Severity severity = Severity::kHint;
  std::string explanation;  // why it matters
  std::string source;       // paper and section, or the measurement
};

// A rule that applies, and where.
struct Advice {
  RuleInfo rule;
  // The rule's, unless it is worse or better here.
  Severity severity = Severity::kHint;
  // What it is about: a stage's or a node's name, or "" for the recipe.
  std::string at;
  SourceLocation location;
  // What is seen here, in numbers, and what to do about it.
  std::string says, mend;
  // What `--fix` does; may be empty where a choice is left to the user.
  std::vector<Edit> edits;
};

struct AdviseOptions {
  // Whether to read the data and look at their statistics too: seconds rather
  // than milliseconds.
  bool with_data = true;
};

// All advice on `recipe`, the likeliest causes of failure first, less what the
// recipe silences. Data that can't be read are advice, not an error: what can
// be said without them is said.
absl::StatusOr<std::vector<Advice>> Advise(const Recipe& recipe,
                                           const OpRegistry& registry,
                                           const AdviseOptions& options);

// The same of a recipe and network that a run keeps: no text of theirs is at
// hand, so that nothing has a place in one.
absl::StatusOr<std::vector<Advice>> AdviseOnRun(const Recipe& recipe,
                                                const Graph& network,
                                                const AdviseOptions& options);

// All rules, in the order in which their advice is given.
std::vector<RuleInfo> AllRules();

// "warning" or "hint".
const char* SeverityName(Severity severity);

// The recipe's and its network's text after the edits of `advice`, comments and
// all else kept. An edit of what an earlier one has changed is passed over.
struct MendedTexts {
  // Empty where nothing changes.
  std::string recipe, network;
  int edits = 0;
};
absl::StatusOr<MendedTexts> Mend(const Recipe& recipe,
                                 const OpRegistry& registry,
                                 const std::vector<Advice>& advice);

}  // namespace tamer

#endif  // TAMER_CORE_ADVISE_ADVICE_H_
