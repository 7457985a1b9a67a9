#include "core/op/layout.h"

#include <algorithm>
#include <vector>

#include "core/passes/passes.h"
#include "proto/ops/reorder.pb.h"

namespace tamer {
namespace {

class Arranger {
 public:
  explicit Arranger(const Graph& graph)
      : graph_(graph),
        last_(graph.values().size(), false),
        other_(graph.values().size()),
        result_(&graph.registry()) {}

  absl::StatusOr<Graph> Arrange();

 private:
  // The node's parameters for channels last, or null if it keeps its order.
  std::unique_ptr<OpParams> Turned(const Node& node) const;
  // The name of the value with channels last, or first; makes the Reorder that
  // this takes, if any.
  absl::StatusOr<std::string> InOrder(ValueId id, bool last);
  absl::Status Add(const Node& node);

  const Graph& graph_;
  std::vector<bool> last_;          // values: whether made with channels last
  std::vector<std::string> other_;  // their names in the other order
  Graph result_;
};

std::unique_ptr<OpParams> Arranger::Turned(const Node& node) const {
  int rank = 0;
  bool from_last = false;
  const auto see = [&](ValueId id) {
    const TensorType& type = graph_.value(id).type;
    if (!IsImage(type)) return true;
    from_last = from_last || last_[id];
    if (rank == 0) rank = type.shape.rank();
    return rank == type.shape.rank();
  };
  for (ValueId id : node.inputs) {
    if (!see(id)) return nullptr;
  }
  for (ValueId id : node.outputs) {
    if (!see(id)) return nullptr;
    for (ValueId output : graph_.outputs()) {
      if (output == id && IsImage(graph_.value(id).type)) return nullptr;
    }
  }
  if (rank == 0 || !(from_last || node.op->PrefersChannelsLast(*node.params))) {
    return nullptr;
  }
  if (!node.op->schema().FindFieldByName("channels_last")) {
    // Elementwise ops may spread an input over an image; which of its
    // dimensions meet which then depends on their order.
    for (ValueId id : node.inputs) {
      const TensorType& type = graph_.value(id).type;
      if (!IsImage(type) && type.shape.elements() != 1) return nullptr;
    }
  }
  return node.op->ChannelsLast(*node.params, rank);
}

absl::StatusOr<std::string> Arranger::InOrder(ValueId id, bool last) {
  const Value& value = graph_.value(id);
  if (!IsImage(value.type) || last == last_[id]) return value.name;
  if (other_[id].empty()) {
    op::Reorder reorder;
    reorder.set_channels_last(last);
    std::string name = absl::StrCat("reorder/", value.name);
    std::replace(name.begin(), name.end(), ':', '.');
    TAMER_RETURN_IF_ERROR(
        result_.AddNode(name, reorder, {value.name}).status());
    other_[id] = name;
  }
  return other_[id];
}

absl::Status Arranger::Add(const Node& node) {
  const std::unique_ptr<OpParams> turned = Turned(node);
  const bool last = turned != nullptr;
  std::vector<std::string> inputs;
  for (ValueId id : node.inputs) {
    TAMER_ASSIGN_OR_RETURN(const std::string input, InOrder(id, last));
    inputs.push_back(input);
  }
  for (ValueId id : node.outputs) last_[id] = last;
  return result_
      .AddNode(node.name, last ? *turned : *node.params, inputs,
               node.share_with, node.location)
      .status();
}

absl::StatusOr<Graph> Arranger::Arrange() {
  result_.set_name(graph_.name());
  for (ValueId id : graph_.inputs()) {
    const Value& value = graph_.value(id);
    TAMER_RETURN_IF_ERROR(result_.AddInput(value.name, value.type).status());
  }
  for (const Node& node : graph_.nodes()) TAMER_RETURN_IF_ERROR(Add(node));
  for (ValueId id : graph_.outputs()) {
    TAMER_RETURN_IF_ERROR(result_.AddOutput(graph_.value(id).name));
  }
  return std::move(result_);
}

}  // namespace

absl::StatusOr<Graph> Layout(const Graph& graph) {
  return Arranger(graph).Arrange();
}

}  // namespace tamer
