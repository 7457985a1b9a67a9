#include "tools/search/trial.h"

#include <fcntl.h>
#include <signal.h>  // sigaction
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/graph/text.h"
#include "core/train/files.h"

extern char** environ;

namespace tamer {
namespace {

using Json = nlohmann::json;

volatile std::sig_atomic_t interrupted = 0;
void NoteInterrupt(int) { interrupted = 1; }

// While trials run, a signal ends the waiting rather than this process.
class InterruptGuard {
 public:
  InterruptGuard() {
    struct sigaction action = {};
    action.sa_handler = NoteInterrupt;
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
  }

 private:
  struct sigaction old_int_, old_term_;
};

std::string Absolute(const std::string& folder, const std::string& name) {
  if (name.empty() || name[0] == '/') return name;
  std::string path = JoinPath(folder, name);
  if (path[0] != '/') {
    char here[4096];
    if (getcwd(here, sizeof(here)) != nullptr) path = JoinPath(here, path);
  }
  return path;
}

void MakeAbsolute(const std::string& folder, DataSource* source) {
  const auto fix = [&folder](std::string* name) {
    if (!name->empty()) *name = Absolute(folder, *name);
  };
  if (source->has_idx()) {
    fix(source->mutable_idx()->mutable_images());
    if (source->idx().has_labels())
      fix(source->mutable_idx()->mutable_labels());
  } else if (source->has_csv()) {
    fix(source->mutable_csv()->mutable_file());
  } else if (source->has_npy()) {
    NpySource& npy = *source->mutable_npy();
    fix(npy.mutable_features());
    if (npy.has_labels()) fix(npy.mutable_labels());
    if (npy.has_lengths()) fix(npy.mutable_lengths());
  } else if (source->has_images()) {
    fix(source->mutable_images()->mutable_folder());
  } else if (source->has_text()) {
    TextSource& text = *source->mutable_text();
    for (std::string& file : *text.mutable_file()) fix(&file);
    for (TextClass& kind : *text.mutable_class_()) {
      for (std::string& file : *kind.mutable_file()) fix(&file);
    }
    if (text.has_table()) fix(text.mutable_table()->mutable_file());
    if (text.has_folder()) fix(text.mutable_folder());
    if (text.has_pieces()) fix(text.mutable_pieces());
  }
}

void MakeAbsolute(const std::string& folder, DataDef* data) {
  if (data->has_train()) MakeAbsolute(folder, data->mutable_train());
  if (data->has_validation()) MakeAbsolute(folder, data->mutable_validation());
  if (data->has_test()) MakeAbsolute(folder, data->mutable_test());
}

// The recipe as it can stand in any folder.
RecipeDef Movable(const RecipeDef& def, const std::string& folder) {
  RecipeDef moved = def;
  moved.set_graph_file(Absolute(folder, def.graph_file()));
  for (std::string& plugin : *moved.mutable_plugin()) {
    if (plugin.find('/') != std::string::npos) {
      plugin = Absolute(folder, plugin);
    }
  }
  if (moved.has_data()) MakeAbsolute(folder, moved.mutable_data());
  for (StageDef& stage : *moved.mutable_stage()) {
    if (stage.has_data()) MakeAbsolute(folder, stage.mutable_data());
    if (stage.has_load()) {
      stage.mutable_load()->set_product(
          Absolute(folder, stage.load().product()));
    }
  }
  return moved;
}

std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

void TakeNumbers(const Json& object, MetricValues* values) {
  for (const auto& [name, value] : object.items()) {
    if (!value.is_number()) continue;
    bool known = false;
    for (auto& entry : *values) {
      if (entry.first != name) continue;
      entry.second = value.get<double>();
      known = true;
    }
    if (!known) values->emplace_back(name, value.get<double>());
  }
}

// The epochs of a stage, or of all if `stage` is "".
std::vector<MetricValues> ParseEpochs(const std::string& log,
                                      const std::string& stage) {
  std::vector<MetricValues> epochs;
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object()) continue;
    if (!stage.empty() && entry.value("stage", "") != stage) continue;
    MetricValues values;
    TakeNumbers(entry, &values);
    epochs.push_back(values);
  }
  return epochs;
}

// What a finished training wrote.
TrialResult ReadResult(const std::string& folder, int status) {
  TrialResult result;
  const auto said = ReadFile(JoinPath(folder, "said"));
  if (status != 0) {
    result.error = said.ok() && !said->empty() ? FirstLine(*said)
                                               : "it ended without a word";
    return result;
  }
  const auto log = ReadFile(JoinPath(folder, "run/metrics.jsonl"));
  const auto printed = ReadFile(JoinPath(folder, "result.json"));
  if (!printed.ok()) return result;
  const Json json = Json::parse(*printed, nullptr, false);
  if (!json.is_object() || json.value("stages", Json()).empty()) {
    result.error = "its result cannot be read";
    return result;
  }
  const Json& stage = json["stages"].back();
  result.seconds = json.value("seconds", 0.0);
  result.epochs = ParseEpochs(log.ok() ? *log : "", stage.value("stage", ""));
  if (!result.epochs.empty()) result.metrics = result.epochs.back();
  TakeNumbers(stage, &result.metrics);
  return result;
}

absl::StatusOr<pid_t> Start(const Trial& trial, int threads) {
  const std::string recipe = JoinPath(trial.folder, "recipe.pbtxt");
  const std::string run = JoinPath(trial.folder, "run");
  const std::string count = std::to_string(threads);
  const std::vector<const char*> args = {
      "tamer",     "train",       recipe.c_str(), "--run", run.c_str(),
      "--threads", count.c_str(), "--json",       nullptr};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string out = JoinPath(trial.folder, "result.json");
  const std::string said = JoinPath(trial.folder, "said");
  const int flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out.c_str(), flags, 0644);
  posix_spawn_file_actions_addopen(&files, 2, said.c_str(), flags, 0644);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, "/proc/self/exe", &files, nullptr,
                                const_cast<char* const*>(args.data()), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start a training: ", std::strerror(error)));
  }
  return pid;
}

// Writes the trial's recipe; false if its result is there already.
absl::StatusOr<bool> Prepare(const Trial& trial, const TrialOptions& options) {
  const std::string text =
      PrintText(Movable(trial.def, options.recipe->folder), *options.registry);
  const std::string path = JoinPath(trial.folder, "recipe.pbtxt");
  const auto before = ReadFile(path);
  const bool same = before.ok() && *before == text;
  if (same && Exists(JoinPath(trial.folder, "done"))) return false;
  TAMER_RETURN_IF_ERROR(MakeFolder(trial.folder));
  if (before.ok() && !same) {
    return absl::AlreadyExistsError(absl::StrCat(
        trial.folder, ": holds a trial of another recipe; remove it, or name ",
        "another folder"));
  }
  TAMER_RETURN_IF_ERROR(ReplaceFile(path, text));
  return true;
}

}  // namespace

std::vector<MetricValues> ReadEpochs(const Trial& trial) {
  const auto log = ReadFile(JoinPath(trial.folder, "run/metrics.jsonl"));
  return log.ok() ? ParseEpochs(*log, "") : std::vector<MetricValues>();
}

double TrialResult::Metric(const std::string& name) const {
  for (const auto& entry : metrics) {
    if (entry.first == name) return entry.second;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

absl::StatusOr<std::vector<TrialResult>> RunTrials(
    const std::vector<Trial>& trials, const TrialOptions& options) {
  const InterruptGuard guard;
  std::vector<TrialResult> results(trials.size());
  std::map<pid_t, size_t> running;
  const auto finish = [&](size_t i, int status) {
    results[i] = ReadResult(trials[i].folder, status);
    if (options.done) options.done(trials[i], results[i]);
  };
  std::vector<bool> needed;
  for (const Trial& trial : trials) {
    TAMER_ASSIGN_OR_RETURN(const bool run, Prepare(trial, options));
    needed.push_back(run);
  }
  bool told = false;
  size_t next = 0;
  while (next < trials.size() || !running.empty()) {
    while (next < trials.size() && !interrupted &&
           static_cast<int>(running.size()) < options.jobs) {
      const size_t i = next++;
      if (!needed[i]) {
        const auto code = ReadFile(JoinPath(trials[i].folder, "done"));
        finish(i, code.ok() && *code == "0\n" ? 0 : 1);
        continue;
      }
      const auto pid = Start(trials[i], options.threads);
      if (pid.ok()) {
        running[*pid] = i;
      } else {
        results[i].error = std::string(pid.status().message());
      }
    }
    if (running.empty()) break;
    int status = 0;
    const pid_t pid = waitpid(-1, &status, 0);
    if (interrupted && !told) {
      // Each saves what it has.
      for (const auto& child : running) kill(child.first, SIGTERM);
      told = true;
    }
    if (pid < 0) continue;  // a signal came
    const auto found = running.find(pid);
    if (found == running.end()) continue;
    const size_t i = found->second;
    running.erase(found);
    if (interrupted) continue;
    TAMER_RETURN_IF_ERROR(ReplaceFile(JoinPath(trials[i].folder, "done"),
                                      status == 0 ? "0\n" : "1\n"));
    finish(i, status);
  }
  if (interrupted) {
    return absl::CancelledError(
        "stopped; the same command goes on where it was");
  }
  return results;
}

std::string MainMetric(const TrialResult& result) {
  for (const char* name :
       {"validation_accuracy", "test_accuracy", "validation_loss", "test_loss",
        "accuracy", "loss", "reconstruction_error"}) {
    if (!std::isnan(result.Metric(name))) return name;
  }
  return "loss";
}

bool HigherIsBetter(const std::string& metric) {
  return absl::StrContains(metric, "accuracy");
}

bool Better(double a, double b, bool higher) {
  if (std::isnan(a)) return false;
  if (std::isnan(b)) return true;
  return higher ? a > b : a < b;
}

}  // namespace tamer
