#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "core/passes/gradient_parts.h"
#include "core/passes/passes.h"
#include "proto/ops/accumulate.pb.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/recurrent.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

class Fuser {
 public:
  Fuser(const Graph& graph, Precision precision)
      : graph_(graph), precision_(precision), parts_(graph) {}

  absl::StatusOr<Graph> Fuse();

 private:
  void Rewrite(NodeId id);
  void RewriteUpdate(NodeId id);
  void RewriteSlope(NodeId id);
  void FindNeeded();
  std::vector<NodeId> Order() const;
  absl::StatusOr<Graph> Build() const;

  const std::vector<ValueId>& InputsOf(NodeId id) const {
    const auto it = rewritten_.find(id);
    return it == rewritten_.end() ? graph_.node(id).inputs : it->second.inputs;
  }

  const Graph& graph_;
  const Precision precision_;
  const GradientParts parts_;
  std::map<NodeId, RewrittenNode> rewritten_;
  std::vector<bool> needed_;  // nodes
};

// Whether all that a node does is to change variables: an update.
bool IsSink(const Node& node) {
  return node.outputs.empty() && !node.Mutates().empty();
}

template <typename Params>
const Params* Cast(const Node& node) {
  return node.params->GetDescriptor() == Params::descriptor()
             ? static_cast<const Params*>(node.params.get())
             : nullptr;
}

void Fuser::RewriteUpdate(NodeId id) {
  auto update = parts_.UpdateByParts(graph_.node(id), precision_);
  if (update.has_value()) rewritten_[id] = *std::move(update);
}

// An activation's gradient after a product that nobody else reads.
void Fuser::RewriteSlope(NodeId id) {
  const Node& node = graph_.node(id);
  const auto& gradient =
      static_cast<const op::ActivationGradient&>(*node.params);
  const auto* affine = parts_.MadeBy<op::Affine>(node.inputs[0]);
  if (affine == nullptr || !parts_.ReadOnce(node.inputs[0]) ||
      affine->activation() != op::LINEAR || affine->slope_of() != op::LINEAR) {
    return;
  }
  const Node& product = graph_.node(graph_.value(node.inputs[0]).node);
  if (product.inputs.size() != 2) return;
  auto params = std::make_unique<op::Affine>(*affine);
  params->set_slope_of(gradient.activation());
  if (gradient.has_slope()) params->set_slope(gradient.slope());
  if (precision_ != FP32) params->set_precision(precision_);
  rewritten_[id] = {std::move(params),
                    {product.inputs[0], product.inputs[1], node.inputs[1]}};
}

template <typename Params>
std::unique_ptr<OpParams> InPrecision(const Params* params,
                                      Precision precision) {
  if (params == nullptr) return nullptr;
  auto copy = std::make_unique<Params>(*params);
  copy->set_precision(precision);
  return copy;
}

void Fuser::Rewrite(NodeId id) {
  const Node& node = graph_.node(id);
  if (Cast<op::ActivationGradient>(node) != nullptr) return RewriteSlope(id);
  if (node.inputs.size() >= 3 && node.outputs.empty()) return RewriteUpdate(id);
  if (precision_ == FP32) return;
  auto params = InPrecision(Cast<op::Dense>(node), precision_);
  if (!params) params = InPrecision(Cast<op::Affine>(node), precision_);
  if (!params) params = InPrecision(Cast<op::MatMul>(node), precision_);
  if (!params) params = InPrecision(Cast<op::Lstm>(node), precision_);
  if (!params) params = InPrecision(Cast<op::Gru>(node), precision_);
  if (!params) params = InPrecision(Cast<op::Rnn>(node), precision_);
  if (params) rewritten_[id] = {std::move(params), node.inputs};
}

// What fusing has made superfluous is left out; a node with variables stays,
// as they are part of the graph.
void Fuser::FindNeeded() {
  needed_.assign(graph_.nodes().size(), false);
  const auto need = [&](ValueId id) {
    if (graph_.value(id).node >= 0) needed_[graph_.value(id).node] = true;
  };
  for (ValueId id : graph_.outputs()) need(id);
  for (NodeId id = static_cast<NodeId>(graph_.nodes().size()) - 1; id >= 0;
       --id) {
    const Node& node = graph_.node(id);
    if (!node.Mutates().empty() || !node.variables.empty()) needed_[id] = true;
    if (!needed_[id]) continue;
    for (ValueId input : InputsOf(id)) need(input);
    for (ValueId variable : node.variables) need(variable);
  }
}

// The needed nodes, updates as early as may be: after the last node that makes
// what one reads or that reads the variable. So factors of gradients are needed
// for a short time, and are in the cache yet.
std::vector<NodeId> Fuser::Order() const {
  const NodeId nodes = static_cast<NodeId>(graph_.nodes().size());
  std::vector<NodeId> reader(graph_.values().size(), -1);  // the last one
  std::vector<NodeId> changed = reader;  // after which a sink changes it
  std::vector<std::vector<NodeId>> sinks(nodes + 1);
  for (NodeId id = 0; id < nodes; ++id) {
    if (!needed_[id]) continue;
    const Node& node = graph_.node(id);
    std::vector<ValueId> values = InputsOf(id);
    values.insert(values.end(), node.variables.begin(), node.variables.end());
    if (!IsSink(node)) {
      for (ValueId value : values) reader[value] = id;
      continue;
    }
    NodeId after = -1;
    for (ValueId value : values) {
      const NodeId maker = graph_.value(value).node;
      if (maker != id) after = std::max(after, maker);
      if (graph_.value(value).kind != Value::kVariable) continue;
      after = std::max({after, reader[value], changed[value]});
    }
    for (ValueId value : values) changed[value] = after;
    sinks[after + 1].push_back(id);
  }
  std::vector<NodeId> order = sinks[0];
  for (NodeId id = 0; id < nodes; ++id) {
    if (needed_[id] && !IsSink(graph_.node(id))) order.push_back(id);
    order.insert(order.end(), sinks[id + 1].begin(), sinks[id + 1].end());
  }
  return order;
}

absl::StatusOr<Graph> Fuser::Build() const {
  Graph result(&graph_.registry());
  result.set_name(graph_.name());
  for (ValueId id : graph_.inputs()) {
    const Value& value = graph_.value(id);
    TAMER_RETURN_IF_ERROR(result.AddInput(value.name, value.type).status());
  }
  for (NodeId id : Order()) {
    const Node& node = graph_.node(id);
    const auto it = rewritten_.find(id);
    std::vector<std::string> inputs;
    for (ValueId input : InputsOf(id)) {
      inputs.push_back(graph_.value(input).name);
    }
    TAMER_RETURN_IF_ERROR(
        result
            .AddNode(node.name,
                     it == rewritten_.end() ? *node.params : *it->second.params,
                     inputs, node.share_with, node.location)
            .status());
  }
  for (ValueId id : graph_.outputs()) {
    TAMER_RETURN_IF_ERROR(result.AddOutput(graph_.value(id).name));
  }
  return result;
}

absl::StatusOr<Graph> Fuser::Fuse() {
  for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
    Rewrite(id);
  }
  FindNeeded();
  return Build();
}

}  // namespace

absl::StatusOr<Graph> Fuse(const Graph& graph, Precision precision) {
  TAMER_ASSIGN_OR_RETURN(const Graph fused, Fuser(graph, precision).Fuse());
  return Layout(fused);
}

}  // namespace tamer
