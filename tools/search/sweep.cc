#include "tools/search/sweep.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/random.h"
#include "core/train/files.h"
#include "core/train/override.h"
#include "tools/search/budget.h"
#include "tools/search/trial.h"

namespace tamer {
namespace {

constexpr int kKeep = 3;  // each round of halving keeps one of so many
constexpr size_t kMostTrials = 10000;

using Values = std::vector<std::string>;

std::vector<Values> Grid(const std::vector<SweepField>& fields) {
  std::vector<Values> all = {{}};
  for (const SweepField& field : fields) {
    std::vector<Values> longer;
    for (const Values& values : all) {
      for (const std::string& value : field.values) {
        longer.push_back(values);
        longer.back().push_back(value);
      }
    }
    all = std::move(longer);
  }
  return all;
}

std::string Draw(const SweepField& field, uint64_t key, int trial) {
  if (!field.range) {
    return field.values[RandomBelow(key, 0, trial, field.values.size())];
  }
  constexpr uint64_t kSteps = uint64_t{1} << 32;
  const double at =
      static_cast<double>(RandomBelow(key, 0, trial, kSteps)) / kSteps;
  if (field.whole && !field.log) {
    return std::to_string(static_cast<int64_t>(
        field.low + std::floor(at * (field.high - field.low + 1))));
  }
  const double value = field.log
                           ? field.low * std::pow(field.high / field.low, at)
                           : field.low + at * (field.high - field.low);
  return field.whole ? std::to_string(std::llround(value))
                     : absl::StrFormat("%.4g", value);
}

std::vector<Values> Draws(const SweepOptions& options) {
  std::vector<Values> all;
  for (int trial = 0; trial < options.trials; ++trial) {
    Values values;
    for (const SweepField& field : options.fields) {
      values.push_back(
          Draw(field, StreamKey(options.seed, "sweep/" + field.path), trial));
    }
    // A combination drawn twice tells nothing new.
    if (std::find(all.begin(), all.end(), values) == all.end()) {
      all.push_back(values);
    }
  }
  return all;
}

class Sweeper {
 public:
  Sweeper(const Recipe& recipe, const OpRegistry& registry,
          const SweepOptions& options, const SweepReport& report)
      : recipe_(recipe),
        registry_(registry),
        options_(options),
        report_(report) {
    result_.metric = options.metric;
    result_.higher_is_better = HigherIsBetter(options.metric);
  }

  absl::StatusOr<SweepResult> Run() {
    const bool halving = options_.method == SweepOptions::kHalving;
    std::vector<Values> chosen = options_.method == SweepOptions::kGrid
                                     ? Grid(options_.fields)
                                     : Draws(options_);
    int rounds = 1;
    if (halving) {
      for (size_t left = chosen.size(); left > kKeep; left /= kKeep) ++rounds;
    }
    for (int round = 0; round < rounds; ++round) {
      const double share = std::pow(kKeep, round - rounds + 1);
      TAMER_ASSIGN_OR_RETURN(chosen, RunRound(chosen, share));
    }
    std::stable_sort(result_.rows.begin(), result_.rows.end(),
                     [this](const SweepRow& a, const SweepRow& b) {
                       if (a.share != b.share) return a.share > b.share;
                       return IsBetter(a.value, b.value);
                     });
    return result_;
  }

 private:
  bool IsBetter(double a, double b) const {
    return Better(a, b, result_.higher_is_better);
  }

  absl::StatusOr<Trial> MakeTrial(const Values& values, double share) {
    Trial trial;
    trial.def = recipe_.def;
    std::string name;
    for (size_t i = 0; i < values.size(); ++i) {
      const std::string assignment =
          absl::StrCat(options_.fields[i].path, "=", values[i]);
      TAMER_RETURN_IF_ERROR(ApplyOverride(assignment, &trial.def));
      absl::StrAppend(&name, i > 0 ? "," : "",
                      options_.fields[i].path.substr(
                          options_.fields[i].path.rfind('.') + 1),
                      "=", values[i]);
    }
    std::replace(name.begin(), name.end(), '/', '_');
    if (share < 1) {
      absl::StrAppend(&name, "@", absl::StrFormat("%.3g", share));
      for (StageDef& stage : *trial.def.mutable_stage()) {
        ShortenEpochs(share, &stage);
      }
    }
    TAMER_RETURN_IF_ERROR(CheckRecipe(trial.def, recipe_.file));
    trial.folder = JoinPath(options_.folder, name);
    return trial;
  }

  // The best third of `chosen`, after all have been trained.
  absl::StatusOr<std::vector<Values>> RunRound(
      const std::vector<Values>& chosen, double share) {
    std::vector<Trial> trials;
    for (const Values& values : chosen) {
      TAMER_ASSIGN_OR_RETURN(Trial trial, MakeTrial(values, share));
      trials.push_back(std::move(trial));
    }
    TrialOptions how;
    how.jobs = options_.jobs;
    how.recipe = &recipe_;
    how.registry = &registry_;
    how.done = [&](const Trial& trial, const TrialResult& result) {
      for (size_t i = 0; i < trials.size(); ++i) {
        if (&trial == &trials[i]) Add(chosen[i], share, trial, result);
      }
    };
    const size_t before = result_.rows.size();
    TAMER_RETURN_IF_ERROR(RunTrials(trials, how).status());
    std::vector<const SweepRow*> rows;
    for (size_t i = before; i < result_.rows.size(); ++i) {
      rows.push_back(&result_.rows[i]);
    }
    std::stable_sort(rows.begin(), rows.end(),
                     [this](const SweepRow* a, const SweepRow* b) {
                       return IsBetter(a->value, b->value);
                     });
    rows.resize(std::max<size_t>(1, rows.size() / kKeep));
    std::vector<Values> kept;
    for (const SweepRow* row : rows) kept.push_back(row->values);
    return kept;
  }

  void Add(const Values& values, double share, const Trial& trial,
           const TrialResult& result) {
    if (result_.metric.empty() && result.error.empty()) {
      result_.metric = MainMetric(result);
      result_.higher_is_better = HigherIsBetter(result_.metric);
    }
    SweepRow row;
    row.values = values;
    row.share = share;
    row.seconds = result.seconds;
    row.error = result.error;
    row.folder = trial.folder;
    row.value = result.error.empty() ? result.Metric(result_.metric)
                                     : std::numeric_limits<double>::quiet_NaN();
    result_.rows.push_back(row);
    report_(row);
  }

  const Recipe& recipe_;
  const OpRegistry& registry_;
  const SweepOptions& options_;
  const SweepReport& report_;
  SweepResult result_;
};

}  // namespace

absl::StatusOr<SweepField> ParseSweepField(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return Invalid("--over ", text, ": expected PATH=VALUE,VALUE,… or ",
                   "PATH=LOW..HIGH or PATH=log:LOW..HIGH");
  }
  SweepField field;
  field.path = text.substr(0, equals);
  absl::string_view rest = absl::string_view(text).substr(equals + 1);
  field.log = absl::ConsumePrefix(&rest, "log:");
  const size_t dots = rest.find("..");
  if (dots == absl::string_view::npos) {
    if (field.log) return Invalid("--over ", text, ": log: wants LOW..HIGH");
    for (absl::string_view value : absl::StrSplit(rest, ',')) {
      field.values.emplace_back(value);
    }
    return field;
  }
  field.range = true;
  int64_t whole;
  const absl::string_view low = rest.substr(0, dots);
  const absl::string_view high = rest.substr(dots + 2);
  field.whole = absl::SimpleAtoi(low, &whole) && absl::SimpleAtoi(high, &whole);
  if (!absl::SimpleAtod(low, &field.low) ||
      !absl::SimpleAtod(high, &field.high) || !(field.low < field.high) ||
      (field.log && field.low <= 0)) {
    return Invalid("--over ", text, ": a range is two numbers, the lower first",
                   field.log ? ", both above 0" : "");
  }
  return field;
}

absl::StatusOr<SweepResult> Sweep(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const SweepOptions& options,
                                  const SweepReport& report) {
  if (options.fields.empty()) {
    return Invalid("a sweep needs fields: --over batch_size=10,20,50");
  }
  double combinations = 1;
  for (const SweepField& field : options.fields) {
    combinations *= field.range ? 1 : field.values.size();
    if (field.range && options.method == SweepOptions::kGrid) {
      return Invalid("--over ", field.path, "=", field.low, "..", field.high,
                     ": a grid takes values; a range wants --method random or "
                     "halving");
    }
  }
  if (combinations > kMostTrials) {
    return Invalid("these fields have ", combinations,
                   " combinations; use --method random");
  }
  return Sweeper(recipe, registry, options, report).Run();
}

}  // namespace tamer
