#ifndef TAMER_CORE_PASSES_SOLVER_H_
#define TAMER_CORE_PASSES_SOLVER_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

namespace tamer {

// What the names of update nodes, and so of their state, begin with.
inline constexpr char kUpdate[] = "update/";

// An error if the solver names no rule or a number of it makes no sense.
absl::Status CheckSolver(const SolverDef& solver);

// Adds an update node "update/VARIABLE" for each entry of `gradients` (variable
// name to gradient value), by the solver's rule, with weight decay where it
// belongs and the rate multipliers of nodes; and the inputs "learning_rate"
// and, if the rule has one, "momentum". `depths` tells how many layers stand
// above a node, for rate_divisor_by_depth; those it doesn't name are at 0.
absl::Status AddUpdates(Graph& graph,
                        const std::map<std::string, std::string>& gradients,
                        const SolverDef& solver,
                        const std::map<std::string, int>& depths = {});

// The variables that a graph's update nodes change, sorted.
std::vector<std::string> UpdatedBy(const Graph& graph);

// Whether `node` is the node called `name`, or stands in the block of that
// name: "enc" covers "enc/attn" and "enc.3/attn". A * stands for any
// characters: "*/qkv" covers "enc.3/qkv".
bool Covers(const std::string& name, const std::string& node);

// An error, with a suggestion, if `name` covers no node of `graph`; `field`
// says where it was written.
absl::Status CheckCoversSome(const Graph& graph, const std::string& name,
                             const char* field);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_SOLVER_H_
