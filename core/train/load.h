#ifndef TAMER_CORE_TRAIN_LOAD_H_
#define TAMER_CORE_TRAIN_LOAD_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/plan/variables.h"
#include "proto/recipe.pb.h"

namespace tamer {

// What became of a product's parameters in a network.
struct LoadReport {
  std::vector<std::string> loaded;
  std::vector<std::string> missing;     // the network's, not in the product
  std::vector<std::string> unexpected;  // the product's, not in the network
  std::vector<std::string>
      mismatched;  // "h1/weight: [784, 500], not [784, 300]"

  // "8 parameters loaded; missing: logits/weight, logits/bias".
  std::string ToString() const;
};

// Copies `tensors` into `variables` by name, after the rules of `load`:
// renamed, and with an error if anything is missing, unexpected or of another
// shape that isn't allowed by name. What pretraining left beside a node of the
// network (IsPretrained) comes along. On an error `variables` is as it was.
absl::StatusOr<LoadReport> LoadParameters(
    const Graph& network, const std::map<std::string, Tensor>& tensors,
    const LoadDef& load, Variables* variables);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_LOAD_H_
