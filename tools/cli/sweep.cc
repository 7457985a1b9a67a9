#include "tools/search/sweep.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

struct Options {
  std::string recipe;
  std::vector<std::string> set, over;
  SweepOptions sweep;
  bool json = false;
};

std::string ValueText(const SweepRow& row) {
  return std::isnan(row.value) ? "-" : NumberText(row.value);
}

std::string ToTable(const SweepOptions& options, const SweepResult& result) {
  std::vector<std::string> headings;
  for (const SweepField& field : options.fields) headings.push_back(field.path);
  for (const char* more : {"epochs", "seconds", ""}) headings.push_back(more);
  headings.insert(headings.end() - 2, result.metric);
  Table table(headings);
  for (const SweepRow& row : result.rows) {
    std::vector<std::string> cells = row.values;
    cells.push_back(absl::StrFormat("%.3g %%", 100 * row.share));
    cells.push_back(ValueText(row));
    cells.push_back(NumberText(row.seconds));
    cells.push_back(row.error);
    table.Add(cells);
  }
  return table.ToString();
}

std::string ToJson(const SweepOptions& options, const SweepResult& result) {
  nlohmann::ordered_json json;
  json["metric"] = result.metric;
  json["rows"] = nlohmann::ordered_json::array();
  for (const SweepRow& row : result.rows) {
    nlohmann::ordered_json entry;
    for (size_t i = 0; i < row.values.size(); ++i) {
      entry["fields"][options.fields[i].path] = row.values[i];
    }
    entry["share"] = row.share;
    entry["value"] = std::isnan(row.value) ? nlohmann::ordered_json()
                                           : nlohmann::ordered_json(row.value);
    entry["seconds"] = row.seconds;
    entry["run"] = JoinPath(row.folder, "run");
    if (!row.error.empty()) entry["error"] = row.error;
    json["rows"].push_back(entry);
  }
  return json.dump(2) + "\n";
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const Recipe recipe,
                         LoadRecipe(options.recipe, options.set, registry));
  SweepOptions sweep = options.sweep;
  for (const std::string& text : options.over) {
    TAMER_ASSIGN_OR_RETURN(SweepField field, ParseSweepField(text));
    sweep.fields.push_back(std::move(field));
  }
  if (sweep.folder.empty()) {
    sweep.folder = absl::StrCat("runs/", recipe.def.name(), "-sweep");
  }
  TAMER_ASSIGN_OR_RETURN(
      const SweepResult result,
      Sweep(recipe, registry, sweep, [&options](const SweepRow& row) {
        if (options.json) return;
        std::fprintf(
            stderr, "%s: %s%s\n", absl::StrJoin(row.values, " ").c_str(),
            ValueText(row).c_str(),
            row.error.empty() ? "" : absl::StrCat(" ", row.error).c_str());
      }));
  const std::string json = ToJson(sweep, result);
  const std::string path = JoinPath(sweep.folder, "results.json");
  TAMER_RETURN_IF_ERROR(ReplaceFile(path, json));
  if (options.json) {
    std::printf("%s", json.c_str());
  } else {
    std::printf("%swrote %s\n", ToTable(sweep, result).c_str(), path.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddSweep(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "sweep", "Train a recipe with fields changed, and compare.");
  command->add_option("recipe", options->recipe, "The recipe (.pbtxt).")
      ->required();
  command
      ->add_option("--over", options->over,
                   "A field and what it may be: batch_size=10,20,50, or a "
                   "range 0.1..0.9 or log:1e-4..1e-1.")
      ->required()
      ->allow_extra_args(false);
  const std::map<std::string, SweepOptions::Method> methods = {
      {"grid", SweepOptions::kGrid},
      {"random", SweepOptions::kRandom},
      {"halving", SweepOptions::kHalving}};
  command
      ->add_option("--method", options->sweep.method,
                   "grid: all combinations; random: --trials draws; halving: "
                   "the same in rounds, the best third of each goes on three "
                   "times longer.")
      ->transform(CLI::CheckedTransformer(methods, CLI::ignore_case));
  command->add_option("--trials", options->sweep.trials, "Draws; 20.")
      ->check(CLI::Range(1, 10000));
  command->add_option("--seed", options->sweep.seed, "Of the draws; 1.");
  command->add_option("--metric", options->sweep.metric,
                      "What is compared; validation or test accuracy, or else "
                      "loss. Accuracies are better high, others low.");
  options->sweep.jobs =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  command
      ->add_option("--jobs", options->sweep.jobs,
                   "Trainings at once, a thread each; as many as cores.")
      ->check(CLI::Range(1, 1024));
  command->add_option("--folder", options->sweep.folder,
                      "Where trainings are kept; runs/NAME-sweep. An "
                      "interrupted sweep goes on there.");
  command->add_option("--set", options->set, "Change a field, as in train.")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer sweep examples/parallel/recipe.pbtxt --method halving "
      "--over batch_size=10,50 --over "
      "stage.digits.solver.nesterov.learning_rate=log:1e-3..1e-1");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
