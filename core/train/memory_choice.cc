#include "core/train/memory_choice.h"

namespace tamer {

bool MemoryChoice::AfterStep(double now, bool common) {
  if (step_++ == 0) began_ = now;
  if (step_ <= kPeriod) return false;
  double& own = seconds_[common ? 1 : 0];
  const double other = seconds_[common ? 0 : 1];
  own = now - began_;
  began_ = now;
  step_ = 1;
  ++periods_;
  // The margin keeps two that are alike from taking turns.
  const bool slower = other > 0 && own > 1.1 * other;
  if (other > 0 && !slower && periods_ < kRetry) return false;
  periods_ = 0;
  // The first step of the other way makes it ready.
  step_ = 0;
  return true;
}

}  // namespace tamer
