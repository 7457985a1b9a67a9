#ifndef TAMER_TOOLS_WATCH_RELAY_H_
#define TAMER_TOOLS_WATCH_RELAY_H_

#include <string>

#include "core/train/observer.h"

namespace tamer {

// An observer that hands all on to another, which must outlive it: the base of
// those that watch a run beside that one.
class Relay : public Observer {
 public:
  explicit Relay(Observer* next) : next_(next) {}

  void Message(const std::string& text) override { next_->Message(text); }
  void Progress(const PhaseReport& report) override { next_->Progress(report); }
  void EpochEnds(const PhaseReport& report) override {
    next_->EpochEnds(report);
  }
  void StageEnds(const std::string& stage, const std::string& product,
                 const MetricValues& metrics, double seconds) override {
    next_->StageEnds(stage, product, metrics, seconds);
  }
  bool StopAsked() override { return next_->StopAsked(); }

 private:
  Observer* next_;
};

}  // namespace tamer

#endif  // TAMER_TOOLS_WATCH_RELAY_H_
