#include "core/passes/copy.h"

namespace tamer {
namespace {

class Copier {
 public:
  Copier(const Graph& graph, const CopyOptions& options)
      : graph_(graph),
        options_(options),
        needed_(graph.values().size(), false),
        names_(graph.values().size()),
        result_(&graph.registry()) {}

  absl::StatusOr<Graph> Copy(const std::vector<std::string>& values,
                             std::vector<std::string>* renamed) {
    result_.set_name(graph_.name());
    for (const std::string& name : values) {
      const ValueId id = graph_.FindValue(name);
      if (id < 0) return Invalid("there is no value \"", name, "\"");
      needed_[id] = true;
    }
    MarkNeeded();
    TAMER_RETURN_IF_ERROR(CopyInputs());
    for (const Node& node : graph_.nodes()) {
      TAMER_RETURN_IF_ERROR(CopyNode(node));
    }
    for (const std::string& name : values) {
      if (renamed != nullptr) {
        renamed->push_back(names_[graph_.FindValue(name)]);
      }
    }
    return std::move(result_);
  }

 private:
  bool IsCut(ValueId id) const { return graph_.value(id).name == options_.cut; }

  bool NodeNeeded(const Node& node) const {
    for (ValueId id : node.outputs) {
      if (needed_[id] && !IsCut(id)) return true;
    }
    for (ValueId id : node.variables) {
      if (needed_[id]) return true;
    }
    return false;
  }

  // Backwards: a node comes after what it reads.
  void MarkNeeded() {
    for (auto node = graph_.nodes().rbegin(); node != graph_.nodes().rend();
         ++node) {
      if (!NodeNeeded(*node)) continue;
      for (ValueId id : node->inputs) needed_[id] = true;
      // A shared variable is its owner's, which must come along.
      for (ValueId id : node->variables) needed_[id] = true;
    }
  }

  absl::Status CopyInputs() {
    for (const Value& value : graph_.values()) {
      const ValueId id = static_cast<ValueId>(&value - graph_.values().data());
      if (!needed_[id] || (value.kind != Value::kInput && !IsCut(id))) continue;
      TAMER_RETURN_IF_ERROR(result_.AddInput(value.name, value.type).status());
      TAMER_RETURN_IF_ERROR(Rename(id, value.name));
    }
    return absl::OkStatus();
  }

  // Readers of `id` find it as `name` in the result, or through the new node.
  absl::Status Rename(ValueId id, const std::string& name) {
    names_[id] = name;
    if (options_.through_value.empty() || name != options_.through_value) {
      return absl::OkStatus();
    }
    TAMER_ASSIGN_OR_RETURN(names_[id], options_.through(result_, name));
    return absl::OkStatus();
  }

  absl::Status CopyNode(const Node& node) {
    if (!NodeNeeded(node)) return absl::OkStatus();
    if (options_.for_prediction && node.op->IdentityAtInference()) {
      names_[node.outputs[0]] = names_[node.inputs[0]];
      return absl::OkStatus();
    }
    std::vector<std::string> inputs;
    for (ValueId id : node.inputs) inputs.push_back(names_[id]);
    std::unique_ptr<OpParams> other;
    if (options_.for_prediction) other = node.op->AtInference(*node.params);
    TAMER_RETURN_IF_ERROR(result_
                              .AddNode(node.name, other ? *other : *node.params,
                                       inputs, node.share_with, node.location)
                              .status());
    for (ValueId id : node.outputs) {
      TAMER_RETURN_IF_ERROR(Rename(id, graph_.value(id).name));
    }
    for (ValueId id : node.variables) names_[id] = graph_.value(id).name;
    return absl::OkStatus();
  }

  const Graph& graph_;
  const CopyOptions& options_;
  std::vector<bool> needed_;        // values
  std::vector<std::string> names_;  // of values, in the result
  Graph result_;
};

}  // namespace

absl::StatusOr<Graph> CopyNeeded(const Graph& graph,
                                 const std::vector<std::string>& values,
                                 const CopyOptions& options,
                                 std::vector<std::string>* renamed) {
  return Copier(graph, options).Copy(values, renamed);
}

std::function<absl::StatusOr<std::string>(Graph&, const std::string&)>
ThroughNode(const std::string& node, const OpParams& op) {
  const std::shared_ptr<OpParams> params(op.New());
  params->CopyFrom(op);
  return
      [node, params](Graph& graph,
                     const std::string& value) -> absl::StatusOr<std::string> {
        TAMER_RETURN_IF_ERROR(graph.AddNode(node, *params, {value}).status());
        return node;
      };
}

std::vector<std::string> OutputNames(const Graph& graph) {
  std::vector<std::string> names;
  for (ValueId id : graph.outputs()) names.push_back(graph.value(id).name);
  return names;
}

}  // namespace tamer
