#ifndef TAMER_TOOLS_CLI_OUTPUT_H_
#define TAMER_TOOLS_CLI_OUTPUT_H_

#include <string>
#include <vector>

#include "core/train/observer.h"
#include "tools/text/numbers.h"

// How the command line writes to people.

namespace tamer {

// Lines of cells under their headings, columns as wide as they need; those
// whose cells are all numbers are aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void Add(std::vector<std::string> cells);
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> lines_;
};

// "loss 0.31, accuracy 91.2 %".
std::string MetricsText(const MetricValues& metrics);

// Prints a run: on a terminal a progress bar that rewrites its line, elsewhere
// a line an epoch; with `json` nothing but what the command prints at its end.
// Asks to stop once SIGINT or SIGTERM has come; a second SIGINT kills as usual.
class ConsoleObserver : public Observer {
 public:
  explicit ConsoleObserver(bool json);
  ~ConsoleObserver() override;

  void Message(const std::string& text) override;
  void Progress(const PhaseReport& report) override;
  void EpochEnds(const PhaseReport& report) override;
  void StageEnds(const std::string& stage, const std::string& product,
                 const MetricValues& metrics, double seconds) override;
  bool StopAsked() override;

  struct Stage {
    std::string name, product;
    MetricValues metrics;
    double seconds;
  };
  const std::vector<Stage>& stages() const { return stages_; }

 private:
  void ClearLine();

  bool json_;
  bool terminal_;
  bool line_shown_ = false;
  std::vector<Stage> stages_;
};

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_OUTPUT_H_
