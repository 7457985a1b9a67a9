#ifndef TAMER_CORE_PASSES_AT_LENGTH_H_
#define TAMER_CORE_PASSES_AT_LENGTH_H_

#include <string>

#include "core/graph/graph.h"

namespace tamer {

// The same graph for samples of another length: its input called `input`,
// [B, time, ...], has `length` steps in time, and so have "labels" and
// "targets" that had one for each step. All shapes are inferred anew,
// parameters stay the same. An error names the node whose parameters hold to
// the old length, or the parameter whose shape follows it.
absl::StatusOr<Graph> AtLength(const Graph& graph, const std::string& input,
                               int64_t length);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_AT_LENGTH_H_
