#ifndef TAMER_CORE_TRAIN_MEMORY_CHOICE_H_
#define TAMER_CORE_TRAIN_MEMORY_CHOICE_H_

#include <cstdint>

namespace tamer {

// Whether workers of one process are faster with one memory for what they
// update, each changing a part, or with a copy each that each changes whole.
// The former does less arithmetic; but on some machines, at some times, a cache
// line that another core has written takes so long to come that it is three
// times slower. What is faster is found by trying: both give the same bytes.
class MemoryChoice {
 public:
  // Steps between two looks at the clock.
  static constexpr int64_t kPeriod = 256;
  // Periods after which the slower one is tried again, as machines change.
  static constexpr int kRetry = 32;

  // To be called after each step, with the time now and whether memory is
  // common; true if the other way is to be taken from now on.
  bool AfterStep(double now, bool common);

 private:
  int64_t step_ = 0;
  double began_ = 0;
  int periods_ = 0;             // since the last change
  double seconds_[2] = {0, 0};  // of the last period each way; 0: not known
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_MEMORY_CHOICE_H_
