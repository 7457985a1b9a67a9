#ifndef TAMER_TOOLS_SEARCH_PROBE_H_
#define TAMER_TOOLS_SEARCH_PROBE_H_

#include <functional>
#include <string>
#include <vector>

#include "core/train/recipe.h"

// Which learning rate a stage should be trained at, found by short runs.

namespace tamer {

struct ProbeOptions {
  // "" for the last one.
  std::string stage;
  // A run directory or product that the stage starts from, if it starts from
  // another stage's product.
  std::string product;
  // What to begin with.
  std::vector<double> rates = {1e-1, 1e-3, 1e-6};
  // Where trials are kept; one that is interrupted goes on there.
  std::string folder;
  int jobs = 1;
  // What all trials may cost, in trainings of the whole stage.
  double budget = 2;
};

// One short run.
struct ProbePoint {
  double rate = 0;
  double share = 0;  // of the stage's cost
  double value = 0;  // of the metric; NaN if it failed
  std::string error;
};

// What a run whose rate grows exponentially said (Smith 2017, "Cyclical
// learning rates", 3.3).
struct RangePoint {
  double rate = 0;
  double loss = 0;
};

struct ProbeResult {
  std::string stage;
  std::string metric;
  bool higher_is_better = true;
  std::vector<ProbePoint> points;  // in the order in which they ran
  std::vector<RangePoint> range;
  double chosen = 0;
  std::string why;
  // What --apply sets: "stage.labels.solver.nesterov.learning_rate".
  std::string path;
};

// "0.0316": three digits, as trials take it and --apply writes it.
std::string RateText(double rate);

// Called with a line of what goes on.
using ProbeReport = std::function<void(const std::string&)>;

// First a range test and the rates of `options`, then half powers of ten around
// the best, then nearer ones for longer: successive halving on one dimension,
// each round's runs longer and fewer (Jamieson and Talwalkar 2016).
absl::StatusOr<ProbeResult> Probe(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const ProbeOptions& options,
                                  const ProbeReport& report);

}  // namespace tamer

#endif  // TAMER_TOOLS_SEARCH_PROBE_H_
