#ifndef TAMER_CORE_ADVISE_RULE_H_
#define TAMER_CORE_ADVISE_RULE_H_

#include <algorithm>
#include <string>
#include <vector>

#include "core/advise/advice.h"
#include "core/advise/subject.h"

namespace tamer {

// Collects what one rule finds.
class Findings {
 public:
  // `recipe` is its text, null if there is none.
  Findings(const Subject& subject, const SourceText* recipe,
           const RuleInfo& rule, std::vector<Advice>* advice)
      : subject_(subject), recipe_(recipe), rule_(rule), advice_(*advice) {}

  // About a field of the recipe, `at` naming its stage or "". The result may be
  // given edits.
  Advice& InRecipe(const std::string& at, const std::string& path,
                   const std::string& says, const std::string& mend);
  // About a node of the network.
  Advice& InNetwork(const Node& node, const std::string& says,
                    const std::string& mend);

  // An edit of a parameter of `node`'s op; none if the node stands in a block
  // or another file, where others may want it as it is.
  std::vector<Edit> SetParameter(const Node& node, const std::string& parameter,
                                 const std::string& value) const;
  std::vector<Edit> RemoveParameter(const Node& node,
                                    const std::string& parameter) const;

 private:
  bool Editable(const Node& node) const;

  const Subject& subject_;
  const SourceText* recipe_;
  const RuleInfo& rule_;
  std::vector<Advice>& advice_;
};

struct Rule {
  // Advice is given in this order: what ruins a run comes before what costs a
  // point. Rules of one rank are in the order of the stages.
  int rank = 0;
  RuleInfo info;
  void (*check)(const Subject& subject, Findings& findings) = nullptr;
};

// By what they look at; a rule is added to one of these lists.
std::vector<Rule> LossRules();
std::vector<Rule> NetworkRules();
std::vector<Rule> WidthRules();
std::vector<Rule> SolverRules();
std::vector<Rule> ScheduleRules();
std::vector<Rule> StepRules();
std::vector<Rule> StageRules();
std::vector<Rule> DataRules();
std::vector<Rule> LabelRules();
std::vector<Rule> ParallelRules();

// Calls `check` once for each part of the data that stages train on; with
// `classes`, that stages train on whose loss takes its labels for classes.
template <typename Check>
void ForEachData(const Subject& subject, const Check& check,
                 bool classes = false) {
  std::vector<const DataFacts*> seen;
  for (const StageFacts& stage : subject.stages) {
    if (stage.train == nullptr || (classes && !stage.classifies)) continue;
    if (std::find(seen.begin(), seen.end(), stage.train.get()) != seen.end()) {
      continue;
    }
    seen.push_back(stage.train.get());
    check(stage);
  }
}
template <typename Check>
void ForEachClasses(const Subject& subject, const Check& check) {
  ForEachData(subject, check, true);
}

// Calls `check` for each solver whose rate the recipe names.
template <typename Check>
void ForEachSolver(const Subject& subject, const Check& check) {
  for (const StageFacts& stage : subject.stages) {
    for (const SolverFacts& solver : stage.solvers) {
      if (!solver.rule.empty()) check(stage, solver);
    }
  }
}

// One edit of the recipe.
std::vector<Edit> SetField(const std::string& path, const std::string& text);

// "1e-05", "0.1", "12,000" for numbers in advice.
std::string Number(double value);
std::string Percent(double share);

}  // namespace tamer

#endif  // TAMER_CORE_ADVISE_RULE_H_
