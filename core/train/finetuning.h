#ifndef TAMER_CORE_TRAIN_FINETUNING_H_
#define TAMER_CORE_TRAIN_FINETUNING_H_

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

namespace tamer {

// A fine-tuning stage, ready to run.
struct FinetuneSetup {
  // The network, with adapters if the stage has any: what is evaluated.
  Graph network;
  // What the pass made, by the epoch (from 0) that each begins with.
  std::vector<std::pair<int64_t, Graph>> graphs;
  // With adapters, the parameters that the stage changes; else empty.
  std::set<std::string> changed;

  explicit FinetuneSetup(const OpRegistry* registry) : network(registry) {}
};

// `mixed`: whether the samples are (see AugmentDef.mixup).
// `fresh` names nodes whose parameters come from initial values, so that there
// is nothing to adapt.
absl::StatusOr<FinetuneSetup> SetUpFinetuning(
    const Graph& network, const StageDef& stage, bool mixed,
    const std::vector<std::string>& fresh);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_FINETUNING_H_
