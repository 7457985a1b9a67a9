#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/advise/advice.h"
#include "core/base/suggest.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

struct Options {
  std::string recipe, explain;
  std::vector<std::string> set;
  bool rules = false, fix = false, hints = false, no_data = false;
  bool strict = false, json = false;
};

// `recipe.pbtxt:14:5: warning: stage "s": … [high-rate]`, and its mend.
void Print(const Advice& advice) {
  std::printf("%s%s: %s%s [%s]\n", advice.location.Prefix().c_str(),
              SeverityName(advice.severity),
              advice.at.empty() ? "" : absl::StrCat(advice.at, ": ").c_str(),
              advice.says.c_str(), advice.rule.id.c_str());
  std::printf("    mend: %s\n", advice.mend.c_str());
}

nlohmann::ordered_json ToJson(const RuleInfo& rule) {
  return {{"rule", rule.id},
          {"severity", SeverityName(rule.severity)},
          {"explanation", rule.explanation},
          {"source", rule.source}};
}

nlohmann::ordered_json ToJson(const Advice& advice) {
  nlohmann::ordered_json json = ToJson(advice.rule);
  json["severity"] = SeverityName(advice.severity);
  json["at"] = advice.at;
  json["file"] = advice.location.file;
  json["line"] = advice.location.line;
  json["column"] = advice.location.column;
  json["says"] = advice.says;
  json["mend"] = advice.mend;
  json["fixable"] = !advice.edits.empty();
  return json;
}

void PrintRules(const Options& options) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  Table table({"rule", "severity", "source"});
  for (const RuleInfo& rule : AllRules()) {
    json.push_back(ToJson(rule));
    table.Add({rule.id, SeverityName(rule.severity), rule.source});
  }
  if (options.json) {
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s", table.ToString().c_str());
  }
}

absl::Status Explain(const Options& options) {
  std::vector<std::string> ids;
  for (const RuleInfo& rule : AllRules()) {
    ids.push_back(rule.id);
    if (rule.id != options.explain) continue;
    if (options.json) {
      std::printf("%s\n", ToJson(rule).dump(2).c_str());
    } else {
      std::printf(
          "%s (%s)\n%s\nsource: %s\nto silence it, in the recipe: "
          "silence { rule: \"%s\" }\n",
          rule.id.c_str(), SeverityName(rule.severity),
          rule.explanation.c_str(), rule.source.c_str(), rule.id.c_str());
    }
    return absl::OkStatus();
  }
  return Invalid("there is no rule \"", options.explain, "\"",
                 DidYouMean(options.explain, ids),
                 "; tamer advise --rules lists them");
}

// Each file is replaced as a whole or not at all.
absl::Status WriteMended(const Recipe& recipe, const MendedTexts& mended,
                         bool quiet) {
  const std::string network = JoinPath(recipe.folder, recipe.def.graph_file());
  for (const auto& [file, text] : {std::make_pair(recipe.file, mended.recipe),
                                   std::make_pair(network, mended.network)}) {
    if (text.empty()) continue;
    TAMER_RETURN_IF_ERROR(ReplaceFile(file, text));
    if (!quiet) std::printf("wrote %s\n", file.c_str());
  }
  return absl::OkStatus();
}

absl::Status Fix(const Options& options, const Recipe& recipe,
                 const OpRegistry& registry, std::vector<Advice> advice,
                 int* edits) {
  std::vector<Advice> chosen;
  for (Advice& entry : advice) {
    if (entry.severity == Severity::kWarning || options.hints) {
      chosen.push_back(std::move(entry));
    }
  }
  TAMER_ASSIGN_OR_RETURN(const MendedTexts mended,
                         Mend(recipe, registry, chosen));
  *edits = mended.edits;
  return WriteMended(recipe, mended, options.json);
}

void PrintSummary(int warnings, int hints, int fixable, bool fixed) {
  std::printf("%d warning%s, %d hint%s", warnings, warnings == 1 ? "" : "s",
              hints, hints == 1 ? "" : "s");
  if (fixed) {
    std::printf("; %d edit%s made", fixable, fixable == 1 ? "" : "s");
  } else if (fixable > 0) {
    std::printf("; --fix mends %d of them", fixable);
  }
  std::printf("\n");
}

absl::Status Advise(const Options& options, const OpRegistry& registry,
                    Outcome* outcome) {
  TAMER_ASSIGN_OR_RETURN(const Recipe recipe,
                         LoadRecipe(options.recipe, options.set, registry));
  AdviseOptions how;
  how.with_data = !options.no_data;
  TAMER_ASSIGN_OR_RETURN(const std::vector<Advice> advice,
                         tamer::Advise(recipe, registry, how));
  int warnings = 0, fixable = 0;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Advice& entry : advice) {
    const bool warns = entry.severity == Severity::kWarning;
    warnings += warns;
    fixable += !entry.edits.empty() && (warns || options.hints);
    if (options.json) {
      list.push_back(ToJson(entry));
    } else {
      Print(entry);
    }
  }
  if (options.fix) {
    TAMER_RETURN_IF_ERROR(Fix(options, recipe, registry, advice, &fixable));
  }
  if (options.json) {
    const nlohmann::ordered_json json = {{"advice", list},
                                         {"edits", options.fix ? fixable : 0}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    PrintSummary(warnings, advice.size() - warnings, fixable, options.fix);
  }
  if (options.strict && warnings > 0) outcome->code = kExitFailed;
  return absl::OkStatus();
}

}  // namespace

void AddAdvise(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "advise", "What an experienced trainer would say of a recipe.");
  auto* recipe =
      command->add_option("recipe", options->recipe, "The recipe (.pbtxt).");
  command
      ->add_option("--set", options->set, "Change a field first, as in train.")
      ->allow_extra_args(false);
  command->add_flag("--fix", options->fix,
                    "Write what mends the warnings into recipe and network, "
                    "comments and all else kept.");
  command->add_flag("--hints", options->hints, "Let --fix mend hints too.");
  command->add_flag("--no-data", options->no_data, "Don't read the data.");
  command->add_flag("--strict", options->strict,
                    "Exit with 1 if there is a warning.");
  command->add_flag("--rules", options->rules, "List all rules.");
  command->add_option("--explain", options->explain,
                      "Tell one rule's why, its source and how to silence it.");
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer("Example: tamer advise examples/mnist_dbn/recipe.pbtxt");
  command->callback([options, registry, outcome, recipe] {
    if (!outcome->status.ok()) return;
    if (options->rules) return PrintRules(*options);
    if (!options->explain.empty()) {
      outcome->status = Explain(*options);
    } else if (recipe->count() == 0) {
      outcome->status = Invalid("advise needs a recipe, --rules or --explain");
      outcome->usage = true;
    } else if (options->fix && !options->set.empty()) {
      outcome->status = Invalid("--fix mends files; it does not go with --set");
      outcome->usage = true;
    } else {
      outcome->status = Advise(*options, *registry, outcome);
    }
  });
}

}  // namespace tamer
