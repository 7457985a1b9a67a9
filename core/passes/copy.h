#ifndef TAMER_CORE_PASSES_COPY_H_
#define TAMER_CORE_PASSES_COPY_H_

#include <functional>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tamer {

struct CopyOptions {
  // Whether nodes that are the identity in prediction (dropout) are left out,
  // and others that differ there get their parameters for it.
  bool for_prediction = false;
  // A value that becomes an input, what computes it being left out; "" for
  // none.
  std::string cut;
  // A value that all readers see through what `through` adds to the new graph:
  // it gets the graph and the value's name, and gives the name of the value to
  // be read instead. "" for none.
  std::string through_value;
  std::function<absl::StatusOr<std::string>(Graph&, const std::string&)>
      through;
};

// A new graph of what `values` need of `graph`, in its order, without outputs.
// Inputs that no copied node reads are left out too, but for the values asked
// for. `renamed`, if not null, gets where each of `values` went: a node left
// out is replaced by its first input.
absl::StatusOr<Graph> CopyNeeded(const Graph& graph,
                                 const std::vector<std::string>& values,
                                 const CopyOptions& options,
                                 std::vector<std::string>* renamed);

// For CopyOptions.through: a node of this op, called `node`.
std::function<absl::StatusOr<std::string>(Graph&, const std::string&)>
ThroughNode(const std::string& node, const OpParams& op);

// The names of a graph's outputs.
std::vector<std::string> OutputNames(const Graph& graph);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_COPY_H_
