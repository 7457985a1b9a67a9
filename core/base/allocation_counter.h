#ifndef TAMER_CORE_BASE_ALLOCATION_COUNTER_H_
#define TAMER_CORE_BASE_ALLOCATION_COUNTER_H_

#include <cstdint>

// For tests: linking this replaces the global operator new by one that counts.

namespace tamer {

// Calls of operator new so far, by any thread, from code of this program; those
// from within shared libraries (oneDNN's own) are not counted here.
int64_t OwnAllocations();

// And those from within shared libraries.
int64_t LibraryAllocations();

}  // namespace tamer

#endif  // TAMER_CORE_BASE_ALLOCATION_COUNTER_H_
