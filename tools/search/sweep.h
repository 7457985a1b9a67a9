#ifndef TAMER_TOOLS_SEARCH_SWEEP_H_
#define TAMER_TOOLS_SEARCH_SWEEP_H_

#include <functional>
#include <string>
#include <vector>

#include "core/train/recipe.h"

// Trainings of one recipe with some of its fields changed.

namespace tamer {

// A field and what it may be: values, or a range to draw from.
struct SweepField {
  std::string path;  // as of --set
  std::vector<std::string> values;
  // Instead of values: numbers from `low` to `high`, evenly or (`log`) evenly
  // in their logarithms; whole ones if both ends are written so.
  double low = 0, high = 0;
  bool range = false, log = false, whole = false;
};
// From `batch_size=10,20,50`, `PATH=0.1..0.9` or `PATH=log:1e-4..1e-1`.
absl::StatusOr<SweepField> ParseSweepField(const std::string& text);

struct SweepOptions {
  enum Method {
    kGrid,     // all combinations of values
    kRandom,   // `trials` draws
    kHalving,  // the same, in rounds: each keeps the best third, three times
               // longer, the last as long as the recipe says (Jamieson and
               // Talwalkar 2016)
  };
  Method method = kGrid;
  std::vector<SweepField> fields;
  int trials = 20;
  uint64_t seed = 1;
  // "" for the main one.
  std::string metric;
  std::string folder;
  int jobs = 1;
};

struct SweepRow {
  // In the order of the fields.
  std::vector<std::string> values;
  double share = 1;  // of the recipe's epochs
  double value = 0;  // of the metric; NaN if it failed
  double seconds = 0;
  std::string error, folder;
};

struct SweepResult {
  std::string metric;
  bool higher_is_better = true;
  // Longest runs first, best first among them.
  std::vector<SweepRow> rows;
};

// Called with each row as it is known.
using SweepReport = std::function<void(const SweepRow&)>;

// Runs what is not run yet; an interrupted sweep goes on where it was.
absl::StatusOr<SweepResult> Sweep(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const SweepOptions& options,
                                  const SweepReport& report);

}  // namespace tamer

#endif  // TAMER_TOOLS_SEARCH_SWEEP_H_
