#include "core/passes/at_length.h"

namespace tamer {
namespace {

// The shape of what has `from` steps in time, with `to` of them.
TensorType AtTime(TensorType type, int64_t to) {
  type.shape.set_dim(1, to);
  return type;
}

// What a pass has put beside the input, a target for each step.
bool FollowsInput(const Value& value, int64_t length) {
  return (value.name == "labels" || value.name == "targets") &&
         value.type.shape.rank() >= 2 && value.type.shape.dim(1) == length;
}

// A variable that is shaped by the length cannot be shared by lengths.
absl::Status CheckVariables(const Graph& graph, const Graph& other) {
  for (ValueId id : graph.variables()) {
    const Value& value = graph.value(id);
    const TensorType& type = other.value(other.FindValue(value.name)).type;
    if (type == value.type) continue;
    return Invalid("parameter \"", value.name, "\" would become ",
                   type.ToString(), " instead of ", value.type.ToString(),
                   ": its shape follows the length, so lengths cannot share ",
                   "it");
  }
  return absl::OkStatus();
}

absl::StatusOr<Graph> Rebuild(const Graph& graph, ValueId input,
                              int64_t length) {
  Graph result(&graph.registry());
  result.set_name(graph.name());
  const int64_t before = graph.value(input).type.shape.dim(1);
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const bool other = id == input || FollowsInput(value, before);
    TAMER_RETURN_IF_ERROR(
        result
            .AddInput(value.name,
                      other ? AtTime(value.type, length) : value.type)
            .status());
  }
  for (const Node& node : graph.nodes()) {
    std::vector<std::string> inputs;
    for (ValueId id : node.inputs) inputs.push_back(graph.value(id).name);
    TAMER_RETURN_IF_ERROR(result
                              .AddNode(node.name, *node.params, inputs,
                                       node.share_with, node.location)
                              .status());
  }
  TAMER_RETURN_IF_ERROR(CheckVariables(graph, result));
  for (ValueId id : graph.outputs()) {
    TAMER_RETURN_IF_ERROR(result.AddOutput(graph.value(id).name));
  }
  return result;
}

}  // namespace

absl::StatusOr<Graph> AtLength(const Graph& graph, const std::string& input,
                               int64_t length) {
  const ValueId id = graph.FindValue(input);
  if (id < 0 || graph.value(id).kind != Value::kInput) {
    return Invalid("length: there is no input \"", input, "\"");
  }
  const TensorType& type = graph.value(id).type;
  if (type.shape.rank() < 2 || type.shape.dim(0) != Shape::kBatch) {
    return Invalid("length: input \"", input, "\" is ", type.ToString(),
                   "; only [B, time, ...] has one");
  }
  if (length < 1) {
    return Invalid("length: it is ", length, "; it must be at least 1");
  }
  if (type.shape.dim(1) == length) return graph;
  absl::StatusOr<Graph> result = Rebuild(graph, id, length);
  if (result.ok()) return result;
  return Annotate(
      result.status(),
      absl::StrCat("input \"", input, "\" of length ", length, " instead of ",
                   type.shape.dim(1),
                   " (a parameter that states the length would have to go)"));
}

}  // namespace tamer
