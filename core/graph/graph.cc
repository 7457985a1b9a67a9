#include "core/graph/graph.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"

namespace tamer {
namespace {

bool ValidName(const std::string& name) {
  if (name.empty() || !(absl::ascii_isalpha(name[0]) || name[0] == '_')) {
    return false;
  }
  for (char c : name) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '/' &&
        c != '-') {
      return false;
    }
  }
  return true;
}

std::string OutputName(const std::string& node, int index) {
  return index == 0 ? node : absl::StrCat(node, ":", index);
}

// Whether two variables may be one: nodes that share need the same ones.
bool SameVariables(const std::vector<VariableSpec>& a,
                   const std::vector<VariableSpec>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || a[i].type != b[i].type) return false;
  }
  return true;
}

std::string VariablesText(const std::vector<VariableSpec>& specs) {
  std::string text;
  for (const VariableSpec& spec : specs) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", spec.name, " ",
                    spec.type.shape.ToString());
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::string StreamName(const std::string& node) {
  return absl::StartsWith(node, kRecomputed)
             ? node.substr(sizeof(kRecomputed) - 1)
             : node;
}

std::string SourceLocation::Prefix() const {
  if (file.empty()) return "";
  if (line == 0) return file + ": ";
  return absl::StrCat(file, ":", line, ":", column, ": ");
}

std::vector<ValueId> Node::AllInputs() const {
  std::vector<ValueId> all = inputs;
  all.insert(all.end(), variables.begin(), variables.end());
  return all;
}

std::vector<int> Node::Mutates() const {
  std::vector<int> mutated = op->Mutates(*params);
  for (size_t i = 0; i < variable_specs.size(); ++i) {
    if (variable_specs[i].mutated) {
      mutated.push_back(static_cast<int>(inputs.size() + i));
    }
  }
  return mutated;
}

absl::StatusOr<ValueId> Graph::AddValue(Value value) {
  const ValueId id = static_cast<ValueId>(values_.size());
  if (!value_ids_.emplace(value.name, id).second) {
    const Value& other = values_[value_ids_[value.name]];
    return Invalid("the name \"", value.name, "\" is taken",
                   other.kind == Value::kInput      ? " by an input"
                   : other.kind == Value::kVariable ? " by a parameter"
                                                    : " by another node");
  }
  values_.push_back(std::move(value));
  return id;
}

absl::StatusOr<ValueId> Graph::AddInput(const std::string& name,
                                        const TensorType& type) {
  if (!ValidName(name)) {
    return Invalid("input \"", name, "\": a name is letters, digits and _./-, ",
                   "a letter or _ first");
  }
  int64_t elements = 1;
  for (int64_t dim : type.shape.dims()) {
    if ((dim <= 0 && dim != Shape::kBatch) ||
        __builtin_mul_overflow(elements, dim, &elements) ||
        elements > (int64_t{1} << 40) || elements < -(int64_t{1} << 40)) {
      return Invalid("input \"", name, "\": the shape ", type.shape.ToString(),
                     " has a dimension below 1 or is too large");
    }
  }
  Value value;
  value.kind = Value::kInput;
  value.name = name;
  value.type = type;
  auto id = AddValue(std::move(value));
  if (!id.ok()) {
    return Annotate(id.status(), absl::StrCat("input \"", name, "\""));
  }
  inputs_.push_back(*id);
  return id;
}

absl::Status Graph::InferNode(const OpParams& params,
                              const std::vector<std::string>& inputs,
                              Node* node, Inference* inferred) const {
  node->op = registry_->FindBySchema(*params.GetDescriptor());
  if (node->op == nullptr) return Invalid("no such op is registered");
  std::vector<TensorType> types;
  for (const std::string& input : inputs) {
    const ValueId id = FindValue(input);
    if (id < 0) return Invalid("there is no value \"", input, "\"");
    node->inputs.push_back(id);
    types.push_back(values_[id].type);
  }
  TAMER_ASSIGN_OR_RETURN(*inferred, node->op->Infer(params, types));
  auto copy = node->op->NewParams();
  copy->CopyFrom(params);
  node->params = std::move(copy);
  node->variable_specs = inferred->variables;
  if (node->share_with.empty()) return absl::OkStatus();
  const NodeId owner = FindNode(node->share_with);
  if (owner < 0) {
    return Invalid("share_with names no node \"", node->share_with, "\"");
  }
  if (!SameVariables(nodes_[owner].variable_specs, node->variable_specs)) {
    return Invalid("cannot share with \"", node->share_with,
                   "\": its parameters are ",
                   VariablesText(nodes_[owner].variable_specs), ", not ",
                   VariablesText(node->variable_specs));
  }
  node->variables = nodes_[owner].variables;
  return absl::OkStatus();
}

absl::Status Graph::AddOwnValues(NodeId id, const Inference& inferred,
                                 Node* node) {
  for (size_t i = 0; i < inferred.outputs.size(); ++i) {
    const int index = static_cast<int>(i);
    TAMER_ASSIGN_OR_RETURN(
        node->outputs.emplace_back(),
        AddValue({Value::kOutput, OutputName(node->name, index),
                  inferred.outputs[i], id, index}));
  }
  if (!node->share_with.empty()) return absl::OkStatus();
  for (size_t i = 0; i < node->variable_specs.size(); ++i) {
    const VariableSpec& spec = node->variable_specs[i];
    const std::string name = spec.name.empty()
                                 ? node->name
                                 : absl::StrCat(node->name, "/", spec.name);
    TAMER_ASSIGN_OR_RETURN(
        node->variables.emplace_back(),
        AddValue({Value::kVariable, name, spec.type, id, static_cast<int>(i)}));
    variables_.push_back(node->variables.back());
  }
  return absl::OkStatus();
}

absl::Status Graph::CheckMutations(const Node& node) const {
  const std::vector<ValueId> all = node.AllInputs();
  for (int mutated : node.Mutates()) {
    if (mutated >= static_cast<int>(all.size()) ||
        values_[all[mutated]].kind != Value::kVariable) {
      return Invalid("it changes its input ", mutated,
                     ", so that must be a parameter");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<NodeId> Graph::AddNode(const std::string& name,
                                      const OpParams& params,
                                      const std::vector<std::string>& inputs,
                                      const std::string& share_with,
                                      SourceLocation location) {
  const std::string where =
      absl::StrCat(location.Prefix(), "node \"", name,
                   "\": ", params.GetDescriptor()->name());
  if (!ValidName(name)) {
    return Invalid(
        where, ": a name is letters, digits and _./-, a letter or _ ", "first");
  }
  if (node_ids_.count(name) > 0) {
    return Invalid(where, ": the name \"", name, "\" is taken by another node");
  }
  Node node;
  node.name = name;
  node.location = std::move(location);
  node.share_with = share_with;
  const NodeId id = static_cast<NodeId>(nodes_.size());
  Inference inferred;
  absl::Status status = InferNode(params, inputs, &node, &inferred);
  if (status.ok()) status = AddOwnValues(id, inferred, &node);
  if (status.ok()) status = CheckMutations(node);
  if (!status.ok()) return Annotate(status, where);
  node_ids_[name] = id;
  nodes_.push_back(std::move(node));
  return id;
}

absl::Status Graph::AddOutput(const std::string& value) {
  const ValueId id = FindValue(value);
  if (id < 0) {
    std::vector<std::string> names;
    for (const Value& known : values_) names.push_back(known.name);
    return Invalid("output \"", value, "\": there is no such value",
                   DidYouMean(value, names));
  }
  for (ValueId known : outputs_) {
    if (known == id) return absl::OkStatus();
  }
  outputs_.push_back(id);
  return absl::OkStatus();
}

ValueId Graph::FindValue(const std::string& name) const {
  const auto it = value_ids_.find(name);
  return it == value_ids_.end() ? -1 : it->second;
}

NodeId Graph::FindNode(const std::string& name) const {
  const auto it = node_ids_.find(name);
  return it == node_ids_.end() ? -1 : it->second;
}

const VariableSpec& Graph::variable_spec(ValueId id) const {
  const Value& value = values_[id];
  return nodes_[value.node].variable_specs[value.index];
}

GraphDef Graph::ToDef() const {
  GraphDef def;
  def.set_format_version(kGraphFormatVersion);
  if (!name_.empty()) def.set_name(name_);
  for (ValueId id : inputs_) {
    const Value& value = values_[id];
    InputDef* input = def.add_input();
    input->set_name(value.name);
    const bool batched = value.type.shape.batched();
    for (int i = batched ? 1 : 0; i < value.type.shape.rank(); ++i) {
      input->add_shape(value.type.shape.dim(i));
    }
    if (!batched) input->set_batched(false);
    if (value.type.dtype == DType::kInt32) input->set_type(INT32);
    if (value.type.dtype == DType::kUint8) input->set_type(UINT8);
  }
  for (const Node& node : nodes_) {
    NodeDef* out = def.add_node();
    out->set_name(node.name);
    for (ValueId id : node.inputs) out->add_input(values_[id].name);
    *out->mutable_op() = PackOp(*node.params);
    if (!node.share_with.empty()) out->set_share_with(node.share_with);
  }
  for (ValueId id : outputs_) def.add_output(values_[id].name);
  return def;
}

KernelSpec BoundSpec(const Graph& graph, const Node& node, int64_t batch) {
  KernelSpec spec;
  spec.params = node.params.get();
  spec.batch = batch;
  spec.node = node.name;
  for (ValueId id : node.AllInputs()) {
    const TensorType& type = graph.value(id).type;
    spec.inputs.push_back({type.dtype, type.shape.Bind(batch)});
  }
  for (ValueId id : node.outputs) {
    const TensorType& type = graph.value(id).type;
    spec.outputs.push_back({type.dtype, type.shape.Bind(batch)});
  }
  return spec;
}

}  // namespace tamer
