#ifndef TAMER_TESTS_CONFORMANCE_OP_CASE_H_
#define TAMER_TESTS_CONFORMANCE_OP_CASE_H_

#include <memory>
#include <string>

#include "core/op/registry.h"

namespace tamer {

// The op of the case in `folder`: file `op`, a line with its name, then its
// parameters as text.
absl::StatusOr<std::unique_ptr<OpParams>> ReadOpCase(
    const std::string& folder, const OpRegistry& registry);

}  // namespace tamer

#endif  // TAMER_TESTS_CONFORMANCE_OP_CASE_H_
