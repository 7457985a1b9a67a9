#include "core/train/finetuning.h"

#include "core/passes/passes.h"
#include "core/passes/solver.h"

namespace tamer {

absl::StatusOr<FinetuneSetup> SetUpFinetuning(
    const Graph& network, const StageDef& stage, bool mixed,
    const std::vector<std::string>& fresh) {
  FinetuneSetup setup(&network.registry());
  setup.network = network;
  FinetuneDef finetune = stage.finetune();
  if (finetune.has_adapters()) {
    if (finetune.unfreeze_every() > 0 ||
        stage.solver().rate_divisor_by_depth() != 1) {
      return Invalid("adapters go with neither unfreeze_every nor ",
                     "rate_divisor_by_depth; use rate_multiplier");
    }
    std::vector<std::string> frozen;
    TAMER_ASSIGN_OR_RETURN(setup.network,
                           Adapt(network, finetune.adapters(), fresh, &frozen));
    for (const std::string& name : frozen) finetune.add_freeze(name);
  }
  for (int64_t epoch : UnfreezingEpochs(setup.network, finetune)) {
    TAMER_ASSIGN_OR_RETURN(Graph graph, Finetune(setup.network, finetune,
                                                 stage.solver(), epoch, mixed));
    if (finetune.has_adapters()) {
      for (const std::string& name : UpdatedBy(graph)) {
        setup.changed.insert(name);
      }
    }
    setup.graphs.emplace_back(epoch - 1, std::move(graph));
  }
  return setup;
}

}  // namespace tamer
