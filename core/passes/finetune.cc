#include <cmath>

#include "core/passes/autodiff.h"
#include "core/passes/head.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

using Gradients = std::map<std::string, std::string>;

absl::Status CheckNames(const Graph& network, const FinetuneDef& finetune,
                        const SolverDef& solver) {
  for (const std::string& name : finetune.freeze()) {
    TAMER_RETURN_IF_ERROR(CheckCoversSome(network, name, "finetune: freeze"));
  }
  for (const auto& entry : solver.rate_multiplier()) {
    TAMER_RETURN_IF_ERROR(
        CheckCoversSome(network, entry.first, "solver: rate_multiplier"));
  }
  return absl::OkStatus();
}

std::vector<std::string> Trained(const Graph& network,
                                 const FinetuneDef& finetune) {
  std::vector<std::string> names;
  for (ValueId id : network.variables()) {
    const Value& value = network.value(id);
    bool trained = network.variable_spec(id).trainable;
    for (const std::string& frozen : finetune.freeze()) {
      trained = trained && !Covers(frozen, network.node(value.node).name);
    }
    if (trained) names.push_back(value.name);
  }
  return names;
}

absl::Status CheckLimit(const char* field, float limit) {
  if (std::isfinite(limit) && limit >= 0) return absl::OkStatus();
  return Invalid("finetune: ", field, " is ", limit,
                 "; it must be at least 0 (0: none)");
}

// Each gradient limited by value, then all together by their norm.
absl::Status Clip(Graph& graph, const FinetuneDef& finetune,
                  Gradients* gradients) {
  TAMER_RETURN_IF_ERROR(CheckLimit("clip_value", finetune.clip_value()));
  TAMER_RETURN_IF_ERROR(CheckLimit("clip_norm", finetune.clip_norm()));
  if (finetune.clip_value() > 0) {
    op::ClipByValue clip;
    clip.set_limit(finetune.clip_value());
    for (auto& entry : *gradients) {
      const std::string name = "clip_value/" + entry.first;
      TAMER_RETURN_IF_ERROR(graph.AddNode(name, clip, {entry.second}).status());
      entry.second = name;
    }
  }
  if (finetune.clip_norm() > 0 && !gradients->empty()) {
    std::vector<std::string> all;
    for (const auto& entry : *gradients) all.push_back(entry.second);
    TAMER_RETURN_IF_ERROR(
        graph.AddNode("clip_norm/squares", op::SumOfSquares(), all).status());
    op::ClipByNorm clip;
    clip.set_limit(finetune.clip_norm());
    for (auto& entry : *gradients) {
      const std::string name = "clip_norm/" + entry.first;
      TAMER_RETURN_IF_ERROR(
          graph.AddNode(name, clip, {entry.second, "clip_norm/squares"})
              .status());
      entry.second = name;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Graph> Finetune(const Graph& network,
                               const FinetuneDef& finetune,
                               const SolverDef& solver) {
  TAMER_RETURN_IF_ERROR(CheckNames(network, finetune, solver));
  Graph graph = network;
  TAMER_ASSIGN_OR_RETURN(const Head head, AddHead(graph, finetune));
  TAMER_ASSIGN_OR_RETURN(
      Gradients gradients,
      Differentiate(graph, head.loss, Trained(network, finetune)));
  if (gradients.empty()) {
    return Invalid(
        "finetune: there is nothing to train: the loss depends on no ",
        "parameter that is not frozen");
  }
  TAMER_RETURN_IF_ERROR(Clip(graph, finetune, &gradients));
  TAMER_RETURN_IF_ERROR(AddUpdates(graph, gradients, solver));
  graph.ClearOutputs();
  for (const std::string& output : head.outputs) {
    TAMER_RETURN_IF_ERROR(graph.AddOutput(output));
  }
  return graph;
}

}  // namespace tamer
