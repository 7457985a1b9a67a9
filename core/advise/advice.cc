#include "core/advise/advice.h"

#include <algorithm>
#include <set>

#include "core/advise/rule.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/train/files.h"

namespace tamer {
namespace {

std::vector<Rule> RulesByRank() {
  std::vector<Rule> all;
  for (const auto& list :
       {DataRules(), LabelRules(), LossRules(), NetworkRules(), SolverRules(),
        ScheduleRules(), StepRules(), WidthRules(), StageRules(),
        ParallelRules()}) {
    all.insert(all.end(), list.begin(), list.end());
  }
  std::stable_sort(all.begin(), all.end(), [](const Rule& a, const Rule& b) {
    return a.rank < b.rank;
  });
  return all;
}

// Rules that the recipe silences must exist: a slip would silence nothing.
absl::Status CheckSilences(const Recipe& recipe) {
  std::vector<std::string> ids;
  for (const RuleInfo& rule : AllRules()) ids.push_back(rule.id);
  for (const SilenceDef& silence : recipe.def.silence()) {
    if (std::find(ids.begin(), ids.end(), silence.rule()) == ids.end()) {
      return Invalid(recipe.file, ": silence names no rule \"", silence.rule(),
                     "\"", DidYouMean(silence.rule(), ids),
                     "; tamer advise --rules lists them");
    }
  }
  return absl::OkStatus();
}

bool Silenced(const Recipe& recipe, const Advice& advice) {
  for (const SilenceDef& silence : recipe.def.silence()) {
    if (silence.rule() == advice.rule.id &&
        (!silence.has_at() || silence.at() == advice.at)) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<SourceText> RecipeText(const Recipe& recipe,
                                      const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(recipe.file));
  return SourceText::Parse(text, recipe.file, registry, RecipeDef());
}

// `source` is the recipe's text, or null.
absl::StatusOr<std::vector<Advice>> AskRules(const Recipe& recipe,
                                             const Graph& network,
                                             const SourceText* source,
                                             const AdviseOptions& options) {
  TAMER_RETURN_IF_ERROR(CheckSilences(recipe));
  const auto subject = MakeSubject(recipe, network, options.with_data);
  std::vector<Advice> all;
  for (const Rule& rule : RulesByRank()) {
    Findings findings(*subject, source, rule.info, &all);
    rule.check(*subject, findings);
  }
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&recipe](const Advice& advice) {
                             return Silenced(recipe, advice);
                           }),
            all.end());
  std::stable_sort(
      all.begin(), all.end(),
      [](const Advice& a, const Advice& b) { return a.severity < b.severity; });
  return all;
}

}  // namespace

std::vector<RuleInfo> AllRules() {
  std::vector<RuleInfo> infos;
  for (const Rule& rule : RulesByRank()) infos.push_back(rule.info);
  return infos;
}

const char* SeverityName(Severity severity) {
  return severity == Severity::kWarning ? "warning" : "hint";
}

absl::StatusOr<std::vector<Advice>> Advise(const Recipe& recipe,
                                           const OpRegistry& registry,
                                           const AdviseOptions& options) {
  TAMER_ASSIGN_OR_RETURN(const SourceText source, RecipeText(recipe, registry));
  TAMER_ASSIGN_OR_RETURN(
      const Graph network,
      LoadGraph(JoinPath(recipe.folder, recipe.def.graph_file()), &registry));
  return AskRules(recipe, network, &source, options);
}

absl::StatusOr<std::vector<Advice>> AdviseOnRun(const Recipe& recipe,
                                                const Graph& network,
                                                const AdviseOptions& options) {
  return AskRules(recipe, network, nullptr, options);
}

absl::StatusOr<MendedTexts> Mend(const Recipe& recipe,
                                 const OpRegistry& registry,
                                 const std::vector<Advice>& advice) {
  const std::string network = JoinPath(recipe.folder, recipe.def.graph_file());
  MendedTexts mended;
  std::set<std::pair<int, std::string>> touched;
  for (const Advice& entry : advice) {
    for (const Edit& edit : entry.edits) {
      if (!touched.insert({edit.file, edit.path}).second) continue;
      const bool in_recipe = edit.file == Edit::kRecipe;
      std::string& text = in_recipe ? mended.recipe : mended.network;
      const std::string& file = in_recipe ? recipe.file : network;
      if (text.empty()) {
        TAMER_ASSIGN_OR_RETURN(text, ReadFile(file));
      }
      auto source = in_recipe
                        ? SourceText::Parse(text, file, registry, RecipeDef())
                        : SourceText::Parse(text, file, registry, GraphDef());
      TAMER_RETURN_IF_ERROR(source.status());
      // What an earlier edit removed or renamed has its mend already.
      auto edited = source->Apply(edit);
      if (!edited.ok()) continue;
      text = std::move(*edited);
      ++mended.edits;
    }
  }
  return mended;
}

}  // namespace tamer
