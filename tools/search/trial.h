#ifndef TAMER_TOOLS_SEARCH_TRIAL_H_
#define TAMER_TOOLS_SEARCH_TRIAL_H_

#include <functional>
#include <string>
#include <vector>

#include "core/train/observer.h"
#include "core/train/recipe.h"

// Trainings that are made to learn something about a recipe. Each is a process
// of its own, `tamer train`, so that several run at once and one that fails
// takes nothing with it.

namespace tamer {

struct Trial {
  // Its own; holds recipe.pbtxt, run/ and what it said.
  std::string folder;
  // What to train; file names in it are relative to `from`.
  RecipeDef def;
};

struct TrialResult {
  // Why it ended early: the first line that it said; "" if it finished.
  std::string error;
  double seconds = 0;
  // Of the last stage: its last epoch's, and what was measured at its end
  // ("test_accuracy").
  MetricValues metrics;
  // Each epoch's of the last stage.
  std::vector<MetricValues> epochs;

  // NaN if there is no such metric.
  double Metric(const std::string& name) const;
};

struct TrialOptions {
  // Trainings at once, each with `threads` threads.
  int jobs = 1, threads = 1;
  // The recipe whose folder relative names start from.
  const Recipe* recipe = nullptr;
  const OpRegistry* registry = nullptr;
  // Told as each is done; may be null.
  std::function<void(const Trial&, const TrialResult&)> done;
};

// Runs all trials; results in their order. One whose folder holds the result of
// the same recipe is not run again, and one that was interrupted goes on. An
// error only if none can be run; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<std::vector<TrialResult>> RunTrials(
    const std::vector<Trial>& trials, const TrialOptions& options);

// The epochs that a trial went through, even if it failed in the end.
std::vector<MetricValues> ReadEpochs(const Trial& trial);

// The metric that trials of this recipe are judged by, if the user names none,
// from a result: accuracy on validation or else test data, or their loss, or
// the reconstruction's error.
std::string MainMetric(const TrialResult& result);

// Whether more of it is better: accuracies, not losses and errors.
bool HigherIsBetter(const std::string& metric);

// Whether `a` is better than `b`; NaN is worse than anything.
bool Better(double a, double b, bool higher);

}  // namespace tamer

#endif  // TAMER_TOOLS_SEARCH_TRIAL_H_
