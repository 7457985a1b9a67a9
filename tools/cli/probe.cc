#include "tools/search/probe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "core/advise/source_text.h"
#include "core/graph/text.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

constexpr int kBarWidth = 40;

struct Options {
  std::string recipe, folder;
  std::vector<std::string> set;
  ProbeOptions probe;
  bool apply = false, json = false;
};

void PrintTable(const ProbeResult& result) {
  Table table({"rate", "of the stage", result.metric, ""});
  for (const ProbePoint& point : result.points) {
    table.Add(
        {RateText(point.rate), absl::StrFormat("%.3g %%", 100 * point.share),
         std::isnan(point.value) ? "-" : NumberText(point.value), point.error});
  }
  std::printf("%s", table.ToString().c_str());
}

// The longest run of each rate as a bar, and the range test's loss.
void PrintPlot(const ProbeResult& result) {
  std::vector<ProbePoint> points;
  for (const ProbePoint& point : result.points) {
    auto same = std::find_if(
        points.begin(), points.end(),
        [&point](const ProbePoint& p) { return p.rate == point.rate; });
    if (same == points.end()) {
      points.push_back(point);
    } else {
      *same = point;  // later runs are longer
    }
  }
  std::sort(points.begin(), points.end(),
            [](const auto& a, const auto& b) { return a.rate < b.rate; });
  double low = INFINITY, high = -INFINITY;
  for (const ProbePoint& point : points) {
    if (std::isnan(point.value)) continue;
    low = std::min(low, point.value);
    high = std::max(high, point.value);
  }
  std::printf("\n%s by rate, each rate's longest run\n", result.metric.c_str());
  for (const ProbePoint& point : points) {
    int bar = 0;
    if (!std::isnan(point.value)) {
      const double part = high > low ? (point.value - low) / (high - low) : 1.0;
      bar = 1 + static_cast<int>(part * (kBarWidth - 1));
    }
    std::printf(
        "%9s |%-*s %s%s\n", RateText(point.rate).c_str(), kBarWidth,
        std::string(bar, '#').c_str(),
        std::isnan(point.value) ? "failed" : NumberText(point.value).c_str(),
        point.rate == result.chosen ? "  <- chosen" : "");
  }
}

void PrintJson(const ProbeResult& result) {
  const auto number = [](double x) {
    return std::isnan(x) ? nlohmann::ordered_json() : nlohmann::ordered_json(x);
  };
  nlohmann::ordered_json json;
  json["stage"] = result.stage;
  json["metric"] = result.metric;
  json["chosen"] = result.chosen;
  json["why"] = result.why;
  json["path"] = result.path;
  for (const ProbePoint& point : result.points) {
    json["points"].push_back({{"rate", point.rate},
                              {"share", point.share},
                              {"value", number(point.value)},
                              {"error", point.error}});
  }
  for (const RangePoint& point : result.range) {
    json["range"].push_back(
        {{"rate", point.rate}, {"loss", number(point.loss)}});
  }
  std::printf("%s\n", json.dump(2).c_str());
}

absl::Status Apply(const Recipe& recipe, const OpRegistry& registry,
                   const ProbeResult& result) {
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(recipe.file));
  TAMER_ASSIGN_OR_RETURN(
      const SourceText source,
      SourceText::Parse(text, recipe.file, registry, RecipeDef()));
  TAMER_ASSIGN_OR_RETURN(const std::string edited,
                         source.Apply({Edit::kRecipe, Edit::kSet, result.path,
                                       RateText(result.chosen)}));
  return ReplaceFile(recipe.file, edited);
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const Recipe recipe,
                         LoadRecipe(options.recipe, options.set, registry));
  ProbeOptions probe = options.probe;
  probe.folder = options.folder.empty()
                     ? absl::StrCat("runs/", recipe.def.name(), "-probe")
                     : options.folder;
  TAMER_ASSIGN_OR_RETURN(
      const ProbeResult result,
      Probe(recipe, registry, probe, [&options](const std::string& line) {
        if (!options.json) std::fprintf(stderr, "%s\n", line.c_str());
      }));
  if (options.json) {
    PrintJson(result);
  } else {
    PrintTable(result);
    PrintPlot(result);
    std::printf("\n%s=%s: %s\n", result.path.c_str(),
                RateText(result.chosen).c_str(), result.why.c_str());
  }
  if (!options.apply) return absl::OkStatus();
  TAMER_RETURN_IF_ERROR(Apply(recipe, registry, result));
  if (!options.json) std::printf("wrote %s\n", recipe.file.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddProbe(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "probe", "Find a stage's learning rate by short runs.");
  command->add_option("recipe", options->recipe, "The recipe (.pbtxt).")
      ->required();
  command->add_option("--stage", options->probe.stage,
                      "The stage; the last one if not given.");
  command->add_option("--from", options->probe.product,
                      "The product or run directory that the stage starts "
                      "from, where it starts from another stage.");
  command
      ->add_option("--rates", options->probe.rates,
                   "Rates to begin with, comma-separated; 0.1,0.001,1e-6.")
      ->delimiter(',');
  command->add_option("--set", options->set, "Change a field, as in train.")
      ->allow_extra_args(false);
  options->probe.jobs =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  command
      ->add_option("--jobs", options->probe.jobs,
                   "Runs at once, a thread each; as many as cores.")
      ->check(CLI::Range(1, 1024));
  command->add_option("--budget", options->probe.budget,
                      "What all runs together may cost, in trainings of the "
                      "whole stage; 2.");
  command->add_option("--folder", options->folder,
                      "Where runs are kept; runs/NAME-probe. An interrupted "
                      "probe goes on there.");
  command->add_flag("--apply", options->apply,
                    "Write the rate into the recipe.");
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer probe examples/parallel/recipe.pbtxt --rates "
      "0.1,0.001,1e-6");
  command->callback([options, registry, outcome] {
    if (!outcome->status.ok()) return;
    outcome->status = options->apply && !options->set.empty()
                          ? Invalid(
                                "--apply writes the file; it does not go "
                                "with --set")
                          : Run(*options, *registry);
  });
}

}  // namespace tamer
