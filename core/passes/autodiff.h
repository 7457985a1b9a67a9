#ifndef TAMER_CORE_PASSES_AUTODIFF_H_
#define TAMER_CORE_PASSES_AUTODIFF_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tamer {

// Adds to `graph` the nodes that compute the gradients of the scalar value
// `loss` at each of `wanted` (value names), by reverse accumulation, and
// returns the gradient's value name for each that the loss depends on.
//
// Gradients are ordinary nodes, called "grad/NODE/…"; where a value is read
// more than once its gradients are summed by one Add. Only nodes between a
// wanted value and the loss are differentiated: what is frozen below costs
// nothing. An op on that way without a gradient is an error that names the
// node.
absl::StatusOr<std::map<std::string, std::string>> Differentiate(
    Graph& graph, const std::string& loss,
    const std::vector<std::string>& wanted);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_AUTODIFF_H_
