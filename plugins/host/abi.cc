// The guard of the plugin interface: a change that would break plugins compiled
// before it doesn't compile.

#include <cstddef>

#include "plugins/tamer_plugin.h"

static_assert(sizeof(void*) == 8, "the golden file is of 64-bit machines");

// A struct may grow, but not shrink; TamerTensor, which stands in arrays, may
// not even grow.
#define ABI_STRUCT(type, size) \
  static_assert(sizeof(type) >= (size), #type " has lost members");
#define ABI_MEMBER(type, member, offset, size)                              \
  static_assert(                                                            \
      offsetof(type, member) == (offset) && sizeof(type::member) == (size), \
      #type "." #member " has moved or changed; append only");
#define ABI_VALUE(name, value) \
  static_assert(name == (value), #name " has changed its value");

#include "plugins/abi_golden.inc"

static_assert(sizeof(TamerTensor) == 32, "TamerTensor stands in arrays");
