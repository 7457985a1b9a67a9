#ifndef TAMER_CORE_PLAN_MEMORY_PLANNER_H_
#define TAMER_CORE_PLAN_MEMORY_PLANNER_H_

#include <cstdint>
#include <functional>
#include <vector>

namespace tamer {

// A piece of memory that some steps use, in the order of steps.
struct MemoryRequest {
  int64_t bytes = 0;
  // The step that writes it first.
  int first = 0;
  // The steps after which nobody needs it; `first` itself if nobody reads it.
  // Empty: needed to the end.
  std::vector<int> last;
};

struct MemoryPlan {
  std::vector<int64_t> offsets;  // a request each, aligned to 64
  int64_t bytes = 0;             // in all
};

// Places requests, sorted by `first`, so that two overlap only if all last
// users of the one are over before the first of the other begins, as
// `precedes(a, b)` says; a null one says that steps run in their order. Best fit
// over a list of free pieces, in one sweep. In order, neighbouring pieces become
// one, so the list stays short however many steps there are.
MemoryPlan PlanMemory(const std::vector<MemoryRequest>& requests,
                      const std::function<bool(int, int)>& precedes);

}  // namespace tamer

#endif  // TAMER_CORE_PLAN_MEMORY_PLANNER_H_
