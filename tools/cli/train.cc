#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/advise/advice.h"
#include "core/train/files.h"
#include "core/train/trainer.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/tensorboard/run_events.h"
#include "tools/watch/relay.h"
#include "tools/watch/watch.h"

namespace tamer {
namespace {

constexpr int kNoWatch = -2;
constexpr int kAnyPort = -1;

// Keeps TensorBoard's events of a run up to date.
class EventsKeeper : public Relay {
 public:
  EventsKeeper(const std::string& run, const std::string& folder,
               Observer* next)
      : Relay(next), run_(run), folder_(folder) {}

  void EpochEnds(const PhaseReport& report) override {
    Relay::EpochEnds(report);
    Update();
  }
  // What was written since, too. The first error of all. A worker that no epoch
  // was told of leaves the file to the one that leads.
  absl::Status Finish() {
    if (events_ != nullptr) Update();
    return status_;
  }

 private:
  void Update() {
    if (!status_.ok()) return;
    if (events_ != nullptr) {
      status_ = events_->Update();
      return;
    }
    auto events = RunEvents::Create(run_, folder_);
    status_ = events.status();
    if (events.ok()) events_ = *std::move(events);
  }

  const std::string run_, folder_;
  std::unique_ptr<RunEvents> events_;
  absl::Status status_;
};

struct Options {
  std::string recipe;
  std::string run;
  std::vector<std::string> set;
  std::string continue_stage, again_stage;
  std::string tensorboard;
  int watch = kNoWatch;
  int threads = -1;
  bool fresh = false;
  bool json = false;
};

// The folder to train in: the one asked for, or runs/NAME; with `fresh` the
// first of NAME, NAME-2, NAME-3, … that is free.
std::string ChooseRun(const Options& options, const std::string& name) {
  const std::string base =
      options.run.empty() ? JoinPath("runs", name) : options.run;
  if (!options.fresh) return base;
  std::string run = base;
  for (int i = 2; Exists(run); ++i) run = absl::StrCat(base, "-", i);
  return run;
}

void PrintJson(const ConsoleObserver& observer, const TrainResult& result,
               const std::string& run, double seconds) {
  nlohmann::ordered_json json;
  json["finished"] = result.finished;
  json["run"] = run;
  json["product"] = result.product;
  json["seconds"] = seconds;
  json["stages"] = nlohmann::json::array();
  for (const auto& stage : observer.stages()) {
    nlohmann::ordered_json entry;
    entry["stage"] = stage.name;
    entry["product"] = stage.product;
    entry["seconds"] = stage.seconds;
    for (const auto& metric : stage.metrics)
      entry[metric.first] = metric.second;
    json["stages"].push_back(entry);
  }
  std::printf("%s\n", json.dump(2).c_str());
}

// The short form of `tamer advise`: warnings that need no look at the data.
// Whatever else is wrong training tells itself.
void Warn(const Recipe& recipe, const OpRegistry& registry,
          Observer* observer) {
  AdviseOptions options;
  options.with_data = false;
  const auto advice = Advise(recipe, registry, options);
  if (!advice.ok()) return;
  int warnings = 0;
  for (const Advice& entry : *advice) {
    if (entry.severity != Severity::kWarning) continue;
    ++warnings;
    observer->Message(
        absl::StrCat(entry.location.Prefix(), "warning: ", entry.says,
                     "; mend: ", entry.mend, " [", entry.rule.id, "]"));
  }
  if (warnings > 0) {
    observer->Message(
        absl::StrCat("tamer advise ", recipe.file, " tells more"));
  }
}

// Who else looks on; each hands on what it is told to the one before.
struct Watchers {
  std::unique_ptr<EventsKeeper> events;
  std::unique_ptr<Watch> watch;
  Observer* last = nullptr;
};

absl::Status StartWatchers(const Options& options, const std::string& run,
                           const OpRegistry& registry, Observer* observer,
                           Watchers* watchers) {
  watchers->last = observer;
  if (!options.tensorboard.empty()) {
    watchers->events =
        std::make_unique<EventsKeeper>(run, options.tensorboard, observer);
    watchers->last = watchers->events.get();
  }
  if (options.watch == kNoWatch) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(
      watchers->watch,
      Watch::Start(options.watch, run, registry, watchers->last));
  watchers->last = watchers->watch.get();
  observer->Message("to watch it: " + watchers->watch->address());
  return absl::OkStatus();
}

std::string HowToGoOn(const Options& options, const std::string& run) {
  std::string text = absl::StrCat("stopped and saved; to go on: tamer train ",
                                  options.recipe, " --run ", run);
  if (!options.continue_stage.empty()) {
    absl::StrAppend(&text, " --continue-stage ", options.continue_stage);
  }
  if (!options.again_stage.empty()) {
    absl::StrAppend(&text, " --again-stage ", options.again_stage);
  }
  if (!options.set.empty()) text += " with the same --set options";
  return text;
}

absl::Status Run(const Options& options, const OpRegistry& registry,
                 Outcome* outcome) {
  TAMER_ASSIGN_OR_RETURN(Recipe recipe,
                         LoadRecipe(options.recipe, options.set, registry));
  if (options.threads >= 0) {
    recipe.def.mutable_threads()->set_intra_op(options.threads);
  }
  TrainOptions train;
  train.run = ChooseRun(options, recipe.def.name());
  train.continue_stage = options.continue_stage;
  train.again_stage = options.again_stage;
  ConsoleObserver observer(options.json);
  observer.Message("run directory: " + train.run);
  Warn(recipe, registry, &observer);
  Watchers watchers;
  TAMER_RETURN_IF_ERROR(
      StartWatchers(options, train.run, registry, &observer, &watchers));
  const auto began = std::chrono::steady_clock::now();
  TAMER_ASSIGN_OR_RETURN(const TrainResult result,
                         Train(recipe, registry, train, watchers.last));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began)
          .count();
  if (options.json) {
    PrintJson(observer, result, train.run, seconds);
  } else if (result.finished) {
    observer.Message(absl::StrCat("finished in ", NumberText(seconds),
                                  " s; to use it: tamer eval ", train.run));
  }
  if (!result.finished) {
    observer.Message(HowToGoOn(options, train.run));
    outcome->code = kExitFailed;
  }
  return watchers.events == nullptr ? absl::OkStatus()
                                    : watchers.events->Finish();
}

}  // namespace

void AddTrain(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "train",
      "Train all stages of a recipe, or continue where it was interrupted.");
  command->add_option("recipe", options->recipe, "The recipe (.pbtxt).")
      ->required();
  command->add_option("--run", options->run,
                      "The run directory; runs/NAME if not given.");
  command->add_flag("--new", options->fresh,
                    "Begin a new run directory if this one exists.");
  command
      ->add_option("--set", options->set,
                   "Change a field: batch_size=20, "
                   "stage.digits.finetune.epochs=5.")
      ->allow_extra_args(false);
  auto* only = command->add_option(
      "--continue-stage", options->continue_stage,
      "Go on with one finished stage, its optimizer as it was left, on the "
      "same or (by --set) other data; makes another product.");
  command
      ->add_option("--again-stage", options->again_stage,
                   "Do one stage again, from the newest product that it "
                   "starts from; makes another product.")
      ->excludes(only);
  command
      ->add_option("--threads", options->threads,
                   "Threads inside each op; 0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command
      ->add_flag("--watch{-1}", options->watch,
                 "Serve the run's report at this machine's own address, "
                 "127.0.0.1, while it trains; --watch=PORT for another port "
                 "than 7007, 0 for any.")
      ->check(CLI::Range(kAnyPort, 65535));
  command->add_option("--tensorboard", options->tensorboard,
                      "A folder for TensorBoard's event files.");
  command->add_flag("--json", options->json, "Print only a JSON result.");
  command->footer(
      "Example: tamer train examples/fashion_dbn/recipe.pbtxt --run "
      "runs/first --set stage.features.pretrain.epochs=5");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) {
      outcome->status = Run(*options, *registry, outcome);
    }
  });
}

}  // namespace tamer
