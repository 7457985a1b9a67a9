#ifndef TAMER_CORE_PASSES_SPARSE_H_
#define TAMER_CORE_PASSES_SPARSE_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "proto/ops/update.pb.h"

namespace tamer {

// A gradient that is zero but in the rows of the minibatch's tokens, as the
// factors from which an update makes just those (GradientProduct's one_hot).
struct TokenGradient {
  std::vector<op::GradientProduct> products;
  std::vector<std::string> inputs;  // tokens and b of each
};

// `gradient`, a value of `graph`, as such; without products if it is none, or
// if its Embedding is not sparse. Where it was limited by its norm, adds nodes
// that limit the factors instead, which comes to the same.
absl::StatusOr<TokenGradient> TokenGradientOf(Graph& graph,
                                              const std::string& gradient);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_SPARSE_H_
