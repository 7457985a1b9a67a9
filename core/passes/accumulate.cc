#include "core/passes/accumulate.h"

#include <map>

#include "absl/strings/match.h"
#include "core/passes/solver.h"
#include "proto/ops/accumulate.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr char kUpdate[] = "update/";

bool Limits(const Node& node) {
  const auto* schema = node.params->GetDescriptor();
  return schema == op::ClipByValue::descriptor() ||
         schema == op::ClipByNorm::descriptor() ||
         schema == op::SumOfSquares::descriptor();
}

// Cuts a training graph where gradients flow into the updates.
class Splitter {
 public:
  explicit Splitter(const Graph& graph)
      : graph_(graph),
        late_(graph.nodes().size(), false),
        result_{Graph(&graph.registry()), Graph(&graph.registry())} {}

  absl::StatusOr<AccumulationGraphs> Split() {
    result_.gather.set_name(graph_.name());
    result_.update.set_name(graph_.name());
    FindLate();
    TAMER_RETURN_IF_ERROR(BuildGather());
    TAMER_RETURN_IF_ERROR(BuildUpdate());
    return std::move(result_);
  }

 private:
  const std::string& NameOf(ValueId id) const { return graph_.value(id).name; }
  bool IsUpdate(const Node& node) const {
    return absl::StartsWith(node.name, kUpdate) && node.inputs.size() >= 2;
  }

  // Updates, and the limits that stand between a gradient and them.
  void FindLate() {
    for (NodeId id = static_cast<NodeId>(graph_.nodes().size()) - 1; id >= 0;
         --id) {
      const Node& node = graph_.node(id);
      if (IsUpdate(node)) late_[id] = true;
      if (!late_[id]) continue;
      // A limit's inputs are gradients, or what another limit made of them.
      const size_t end = IsUpdate(node) ? 2 : node.inputs.size();
      for (size_t i = IsUpdate(node) ? 1 : 0; i < end; ++i) {
        const Value& value = graph_.value(node.inputs[i]);
        if (value.kind != Value::kOutput) continue;
        if (Limits(graph_.node(value.node))) late_[value.node] = true;
      }
    }
  }

  // The gradient that an update's, or a limit's, first comes from.
  ValueId RawGradient(ValueId id) const {
    while (graph_.value(id).kind == Value::kOutput &&
           late_[graph_.value(id).node]) {
      id = graph_.node(graph_.value(id).node).inputs[0];
    }
    return id;
  }

  static absl::Status CopyNode(const Graph& from, const Node& node,
                               const std::map<ValueId, std::string>& renamed,
                               Graph* to) {
    std::vector<std::string> inputs;
    for (ValueId id : node.inputs) {
      const auto it = renamed.find(id);
      inputs.push_back(it == renamed.end() ? from.value(id).name : it->second);
    }
    return to
        ->AddNode(node.name, *node.params, inputs, node.share_with,
                  node.location)
        .status();
  }

  // A variable that is all of a node, so that it needs no owner's inputs.
  static absl::Status AddVariable(const std::string& name,
                                  const TensorType& type, Graph* graph) {
    op::Parameter parameter;
    for (int64_t dim : type.shape.dims()) parameter.add_shape(dim);
    parameter.set_trainable(false);
    return graph->AddNode(name, parameter, {}).status();
  }

  absl::Status BuildGather() {
    Graph& gather = result_.gather;
    for (ValueId id : graph_.inputs()) {
      TAMER_RETURN_IF_ERROR(
          gather.AddInput(NameOf(id), graph_.value(id).type).status());
    }
    for (const char* name : {kAccumulateShare, kAccumulateKeep}) {
      TAMER_RETURN_IF_ERROR(gather.AddInput(name, TensorType()).status());
    }
    // First, so that they are there as soon as a gradient is.
    for (const Node& node : graph_.nodes()) {
      if (!IsUpdate(node)) continue;
      TAMER_RETURN_IF_ERROR(AddAccumulator(node));
    }
    for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
      if (late_[id]) continue;
      TAMER_RETURN_IF_ERROR(CopyNode(graph_, graph_.node(id), {}, &gather));
    }
    for (const auto& gathered : order_) {
      TAMER_RETURN_IF_ERROR(
          gather
              .AddNode(absl::StrCat("gather/", gathered.second),
                       op::Accumulate(),
                       {kAccumulated + gathered.second, NameOf(gathered.first),
                        kAccumulateShare, kAccumulateKeep})
              .status());
    }
    for (ValueId id : graph_.outputs()) {
      TAMER_RETURN_IF_ERROR(gather.AddOutput(NameOf(id)));
    }
    return absl::OkStatus();
  }

  // One for each gradient; two parameters may have the same.
  absl::Status AddAccumulator(const Node& update) {
    const ValueId gradient = RawGradient(update.inputs[1]);
    const Value& parameter = graph_.value(update.inputs[0]);
    const std::string name = kAccumulated + parameter.name;
    if (!accumulators_.emplace(gradient, name).second) return absl::OkStatus();
    order_.emplace_back(gradient, parameter.name);
    return AddVariable(name, parameter.type, &result_.gather);
  }

  absl::Status BuildUpdate() {
    Graph& update = result_.update;
    for (ValueId id : graph_.inputs()) {
      if (graph_.value(id).type.shape.rank() > 0) continue;
      TAMER_RETURN_IF_ERROR(
          update.AddInput(NameOf(id), graph_.value(id).type).status());
    }
    for (const auto& entry : accumulators_) {
      TAMER_RETURN_IF_ERROR(AddVariable(
          entry.second,
          result_.gather.value(result_.gather.FindValue(entry.second)).type,
          &update));
    }
    for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
      if (!late_[id]) continue;
      const Node& node = graph_.node(id);
      if (IsUpdate(node)) {
        TAMER_RETURN_IF_ERROR(AddVariable(NameOf(node.inputs[0]),
                                          graph_.value(node.inputs[0]).type,
                                          &update));
      }
      TAMER_RETURN_IF_ERROR(CopyNode(graph_, node, accumulators_, &update));
    }
    return absl::OkStatus();
  }

  const Graph& graph_;
  std::vector<bool> late_;                       // nodes
  std::map<ValueId, std::string> accumulators_;  // by gradient
  // Gradients and what they are of, in the order of updates.
  std::vector<std::pair<ValueId, std::string>> order_;
  AccumulationGraphs result_;
};

}  // namespace

absl::StatusOr<AccumulationGraphs> Accumulate(const Graph& training) {
  if (UpdatedBy(training).empty()) {
    return Invalid("accumulate: the graph updates no parameter");
  }
  return Splitter(training).Split();
}

}  // namespace tamer
