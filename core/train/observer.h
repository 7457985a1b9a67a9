#ifndef TAMER_CORE_TRAIN_OBSERVER_H_
#define TAMER_CORE_TRAIN_OBSERVER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tamer {

// Names and values, in order: "loss", "accuracy", "validation_loss", …
using MetricValues = std::vector<std::pair<std::string, double>>;

// What is measured at the end of an epoch: numbers, and rows of numbers for the
// metrics file alone.
struct EpochMetrics {
  MetricValues values;
  std::vector<std::pair<std::string, std::vector<double>>> series;
};

// Where a phase (a stage, or one layer of a pretraining stage) stands.
struct PhaseReport {
  std::string stage;
  std::string layer;  // "" when fine-tuning
  int64_t epoch = 0;  // running or just ended, from 1
  int64_t epochs = 0;
  int64_t step_in_epoch = 0;
  int64_t steps_per_epoch = 0;
  double learning_rate = 0;
  double samples_per_second = 0;
  double seconds_left = 0;  // of the phase
  MetricValues metrics;     // means of this epoch so far
  // At an epoch's end, with several workers: the share of the time that one
  // waits for others, and which one waits least.
  int workers = 1;
  double waiting_share = 0;
  int slowest_worker = 0;
};

// Who watches a run: the command line's progress bar, a test. Called on the
// training thread.
class Observer {
 public:
  virtual ~Observer() = default;

  // A line of prose: where the run goes, what was loaded.
  virtual void Message(const std::string&) {}
  // About ten times a second.
  virtual void Progress(const PhaseReport&) {}
  virtual void EpochEnds(const PhaseReport&) {}
  // A stage is finished and its product written to `product`.
  virtual void StageEnds(const std::string& /*stage*/,
                         const std::string& /*product*/, const MetricValues&,
                         double /*seconds*/) {}
  // Asked after each step; true ends the run at once, saved for resuming.
  virtual bool StopAsked() { return false; }
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_OBSERVER_H_
