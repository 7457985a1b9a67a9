#ifndef TAMER_OPS_BUILTIN_H_
#define TAMER_OPS_BUILTIN_H_

#include "core/op/registry.h"

namespace tamer {

// Takes in every op of this package. The function is generated from the names
// of its files, so that a new family is a new file and nothing else.
absl::Status RegisterBuiltinOps(OpRegistry& registry);

}  // namespace tamer

#endif  // TAMER_OPS_BUILTIN_H_
