#ifndef TAMER_CORE_PASSES_HEAD_H_
#define TAMER_CORE_PASSES_HEAD_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

namespace tamer {

// What a loss adds to a network.
struct Head {
  std::string loss;                  // a scalar value
  std::vector<std::string> outputs;  // loss and metric
};

// Adds the loss that `finetune` names as node "loss", what it compares with as
// input "labels" or "targets", and for classes the node "accuracy". With
// `mixed` samples a loss of labels gets "targets", each class's share, instead.
absl::StatusOr<Head> AddHead(Graph& graph, const FinetuneDef& finetune,
                             bool mixed = false);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_HEAD_H_
