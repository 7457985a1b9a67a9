#ifndef TAMER_CORE_COLLECTIVE_THREAD_GROUP_H_
#define TAMER_CORE_COLLECTIVE_THREAD_GROUP_H_

#include <memory>
#include <vector>

#include "core/collective/collective.h"

namespace tamer {

// A group of `size` workers of this process, a thread each: entry r is worker
// r's, to be used by its thread alone. When a worker's entry is destroyed or
// abandoned, calls of the others that wait for it return an error, at once.
//
// Workers that share a core with nobody wait for one another awake, for a
// while; others sleep.
std::vector<std::unique_ptr<Collective>> MakeThreadGroup(int size);

}  // namespace tamer

#endif  // TAMER_CORE_COLLECTIVE_THREAD_GROUP_H_
