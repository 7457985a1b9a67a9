#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
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
  for (const FreezeUntilDef& until : finetune.freeze_until()) {
    TAMER_RETURN_IF_ERROR(
        CheckCoversSome(network, until.node(), "finetune: freeze_until"));
    if (until.epoch() < 1) {
      return Invalid("finetune: freeze_until \"", until.node(), "\": epoch is ",
                     until.epoch(), "; it must be at least 1");
    }
  }
  if (finetune.unfreeze_every() < 0) {
    return Invalid("finetune: unfreeze_every is ", finetune.unfreeze_every(),
                   "; it must be at least 0");
  }
  for (const auto& entry : solver.rate_multiplier()) {
    TAMER_RETURN_IF_ERROR(
        CheckCoversSome(network, entry.first, "solver: rate_multiplier"));
  }
  return absl::OkStatus();
}

// The layer that a node belongs to: the repetition of a block in which it
// stands ("enc.3" of "net/enc.3/attn/qkv" is "net/enc.3"), of nested ones the
// outermost; else the outermost block; else the node itself.
std::string LayerOf(const std::string& node) {
  for (size_t at = node.find('/'); at != std::string::npos;
       at = node.find('/', at + 1)) {
    size_t digits = at;
    while (digits > 0 && absl::ascii_isdigit(node[digits - 1])) --digits;
    if (digits > 0 && digits < at && node[digits - 1] == '.') {
      return node.substr(0, at);
    }
  }
  return node.substr(0, node.find('/'));
}

// How many layers with parameters of their own lie between each node's layer
// and the network's end, on the longest way: 0 for the topmost.
std::map<std::string, int> Depths(const Graph& network) {
  std::set<std::string> learning;
  for (const Node& node : network.nodes()) {
    if (!node.variable_specs.empty()) learning.insert(LayerOf(node.name));
  }
  std::vector<int> above(network.nodes().size(), 0);
  std::map<std::string, int> deepest;
  for (NodeId id = static_cast<NodeId>(network.nodes().size()) - 1; id >= 0;
       --id) {
    const Node& node = network.node(id);
    const std::string layer = LayerOf(node.name);
    int& depth = deepest[layer];
    depth = std::max(depth, above[id]);
    for (ValueId input : node.AllInputs()) {
      const NodeId source = network.value(input).node;
      if (source < 0 || source == id) continue;
      const bool leaves = LayerOf(network.node(source).name) != layer &&
                          learning.count(layer) > 0;
      above[source] = std::max(above[source], above[id] + (leaves ? 1 : 0));
    }
  }
  std::map<std::string, int> depths;
  for (const Node& node : network.nodes()) {
    depths[node.name] = deepest.at(LayerOf(node.name));
  }
  return depths;
}

bool FrozenIn(const FinetuneDef& finetune, const std::string& node, int depth,
              int64_t epoch) {
  for (const std::string& frozen : finetune.freeze()) {
    if (Covers(frozen, node)) return true;
  }
  for (const FreezeUntilDef& until : finetune.freeze_until()) {
    if (Covers(until.node(), node) && epoch < until.epoch()) return true;
  }
  const int every = finetune.unfreeze_every();
  return every > 0 && depth > (epoch - 1) / every;
}

std::vector<std::string> Trained(const Graph& network,
                                 const FinetuneDef& finetune, int64_t epoch) {
  const std::map<std::string, int> depths = Depths(network);
  std::vector<std::string> names;
  for (ValueId id : network.variables()) {
    const Value& value = network.value(id);
    const std::string& node = network.node(value.node).name;
    if (network.variable_spec(id).trainable &&
        !FrozenIn(finetune, node, depths.at(node), epoch)) {
      names.push_back(value.name);
    }
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

std::vector<int64_t> UnfreezingEpochs(const Graph& network,
                                      const FinetuneDef& finetune) {
  std::set<int64_t> epochs = {1};
  for (const FreezeUntilDef& until : finetune.freeze_until()) {
    epochs.insert(std::max<int64_t>(1, until.epoch()));
  }
  if (finetune.unfreeze_every() > 0) {
    for (const auto& entry : Depths(network)) {
      epochs.insert(1 + int64_t{entry.second} * finetune.unfreeze_every());
    }
  }
  return {epochs.begin(), epochs.end()};
}

absl::StatusOr<Graph> Finetune(const Graph& network,
                               const FinetuneDef& finetune,
                               const SolverDef& solver, int64_t epoch,
                               bool mixed) {
  TAMER_RETURN_IF_ERROR(CheckNames(network, finetune, solver));
  Graph graph = network;
  TAMER_ASSIGN_OR_RETURN(const Head head, AddHead(graph, finetune, mixed));
  TAMER_ASSIGN_OR_RETURN(
      Gradients gradients,
      Differentiate(graph, head.loss, Trained(network, finetune, epoch)));
  if (gradients.empty()) {
    return Invalid(
        "finetune: there is nothing to train: the loss depends on no ",
        "parameter that is not frozen");
  }
  TAMER_RETURN_IF_ERROR(Clip(graph, finetune, &gradients));
  TAMER_RETURN_IF_ERROR(AddUpdates(graph, gradients, solver, Depths(network)));
  graph.ClearOutputs();
  for (const std::string& output : head.outputs) {
    TAMER_RETURN_IF_ERROR(graph.AddOutput(output));
  }
  return graph;
}

}  // namespace tamer
