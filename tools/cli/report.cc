#include "tools/report/report.h"

#include <cstdio>
#include <memory>

#include "core/advise/advice.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/cli/source.h"
#include "tools/tensorboard/run_events.h"

namespace tamer {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output = "report.html";
  std::string tensorboard;
  bool no_pictures = false;
  int threads = 0;
  bool json = false;
};

// Event files of the runs, instead of a page.
absl::Status WriteEvents(const Options& options) {
  nlohmann::ordered_json json = {{"events", nlohmann::json::array()}};
  for (const std::string& run : options.runs) {
    if (!Exists(JoinPath(run, "metrics.jsonl"))) {
      return absl::NotFoundError(
          absl::StrCat(run, ": no run directory (it has no metrics.jsonl)"));
    }
    TAMER_ASSIGN_OR_RETURN(const auto events,
                           RunEvents::Create(run, options.tensorboard));
    json["events"].push_back(events->path());
    if (!options.json) std::printf("written: %s\n", events->path().c_str());
  }
  if (options.json) std::printf("%s\n", json.dump(2).c_str());
  return absl::OkStatus();
}

// What the craft says of a run's recipe; nothing where it can't be opened.
std::vector<ReportAdvice> AdviceOf(const std::string& run,
                                   const OpRegistry& registry) {
  std::vector<ReportAdvice> list;
  const auto named = OpenNetwork(run, registry);
  if (!named.ok() || !named->has_recipe) return list;
  AdviseOptions options;
  options.with_data = false;
  const auto advice = AdviseOnRun(named->recipe, named->network, options);
  if (!advice.ok()) return list;
  for (const Advice& one : *advice) {
    list.push_back({one.rule.id, SeverityName(one.severity),
                    absl::StrCat(one.at.empty() ? "" : one.at + ": ", one.says),
                    one.mend});
  }
  return list;
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  if (!options.tensorboard.empty()) return WriteEvents(options);
  ReportOptions report;
  report.pictures = !options.no_pictures;
  report.threads = options.threads;
  for (const std::string& run : options.runs) {
    report.advice[run] = AdviceOf(run, registry);
  }
  TAMER_ASSIGN_OR_RETURN(const auto data,
                         ReportData(options.runs, registry, report));
  const std::string page = ReportPage(data);
  TAMER_RETURN_IF_ERROR(ReplaceFile(options.output, page));
  nlohmann::ordered_json json = {{"output", options.output},
                                 {"bytes", page.size()},
                                 {"notes", nlohmann::json::array()}};
  for (const auto& run : data["runs"]) {
    for (const auto& note : run["notes"]) json["notes"].push_back(note);
  }
  if (options.json) {
    std::printf("%s\n", json.dump(2).c_str());
    return absl::OkStatus();
  }
  for (const auto& note : json["notes"]) {
    std::printf("left out: %s\n", note.get<std::string>().c_str());
  }
  std::printf("written: %s (%s)\n", options.output.c_str(),
              BytesText(static_cast<int64_t>(page.size())).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddReport(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "report",
      "Write one HTML page about runs: curves, histograms, filters, confusion, "
      "products, recipe.");
  command
      ->add_option("runs", options->runs,
                   "Run directories; several are laid over one another.")
      ->required();
  command->add_option("--output", options->output,
                      "The page; report.html if not given.");
  command->add_option("--tensorboard", options->tensorboard,
                      "A folder: instead of a page write TensorBoard's event "
                      "files, a folder a run.");
  command->add_flag("--no-pictures", options->no_pictures,
                    "Leave out what products and data have to be opened for: "
                    "filters and the confusion matrix.");
  command->add_option("--threads", options->threads, "0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer report runs/mnist-dbn runs/mnist-dbn-2 --output "
      "mnist.html");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
