#ifndef TAMER_CORE_PLAN_ARENA_H_
#define TAMER_CORE_PLAN_ARENA_H_

#include <vector>

#include "core/base/tensor.h"

namespace tamer {

class Plan;

// Memory for what nodes compute, that several Plans use in turn: as large as
// the largest of them needs. Only one of them may run at a time, and each run
// overwrites what another left, outputs too. When a Plan is compiled that needs
// more, the arena moves and the earlier Plans' tensors with it; their last
// outputs are then lost. So kernels keep no address but a variable's from one
// run to the next. Not for use from several threads.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  int64_t bytes() const { return buffer_.bytes(); }

 private:
  friend class Plan;
  friend class PlanCompiler;

  // Where `plan` finds `bytes`, from now on until Leave().
  char* Join(Plan* plan, int64_t bytes);
  void Leave(const Plan* plan);

  Buffer buffer_;
  std::vector<Plan*> plans_;
};

}  // namespace tamer

#endif  // TAMER_CORE_PLAN_ARENA_H_
