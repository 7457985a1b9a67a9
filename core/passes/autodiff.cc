#include "core/passes/autodiff.h"

#include "absl/strings/str_replace.h"
#include "core/op/gradient.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// The loss's own gradient, until some op needs it as a tensor.
constexpr char kOne[] = "grad/one";

class Differentiator {
 public:
  Differentiator(Graph& graph, const std::string& loss,
                 const std::vector<std::string>& wanted)
      : graph_(graph), loss_(loss), wanted_names_(wanted) {}

  absl::StatusOr<std::map<std::string, std::string>> Run();

 private:
  friend class NodeGradient;

  // Whether a wanted value lies at or before each value.
  void MarkLeads();
  absl::Status VisitNode(NodeId id);
  // The sum of what has flowed into a value; "" if nothing has.
  absl::StatusOr<std::string> Total(ValueId id);
  absl::StatusOr<std::string> Materialized(const std::string& gradient);

  Graph& graph_;
  const std::string& loss_;
  const std::vector<std::string>& wanted_names_;
  std::vector<bool> leads_;                     // values
  std::vector<std::vector<std::string>> into_;  // gradients by value
};

// The view that an op's Gradient has.
class NodeGradient : public GradientBuilder {
 public:
  NodeGradient(Differentiator& owner, const Node& node,
               std::vector<std::string> output_gradients)
      : owner_(owner),
        params_(node.params),
        name_(node.name),
        inputs_(node.AllInputs()),
        outputs_(node.outputs),
        output_gradients_(std::move(output_gradients)) {}

  const OpParams& params() const override { return *params_; }
  int num_inputs() const override { return static_cast<int>(inputs_.size()); }
  std::string Input(int i) const override { return Value(inputs_[i]).name; }
  TensorType InputType(int i) const override { return Value(inputs_[i]).type; }
  std::string Output(int i) const override { return Value(outputs_[i]).name; }
  TensorType OutputType(int i) const override {
    return Value(outputs_[i]).type;
  }
  std::string OutputGradient(int i) const override {
    return output_gradients_[i];
  }
  bool OutputGradientIsOne(int i) const override {
    return output_gradients_[i] == kOne;
  }
  bool Wanted(int i) const override { return owner_.leads_[inputs_[i]]; }

  absl::StatusOr<std::string> Emit(
      const std::string& suffix, const OpParams& op,
      const std::vector<std::string>& inputs) override {
    std::vector<std::string> real = inputs;
    for (std::string& input : real) {
      TAMER_ASSIGN_OR_RETURN(input, owner_.Materialized(input));
    }
    const std::string name = absl::StrCat("grad/", name_, "/", suffix);
    TAMER_RETURN_IF_ERROR(owner_.graph_.AddNode(name, op, real).status());
    return name;
  }

  void SetGradient(int i, const std::string& value) override {
    if (Wanted(i)) owner_.into_[inputs_[i]].push_back(value);
  }

 private:
  const tamer::Value& Value(ValueId id) const {
    return owner_.graph_.value(id);
  }

  Differentiator& owner_;
  // Copies: emitting nodes may move the graph's own.
  std::shared_ptr<const OpParams> params_;
  std::string name_;
  std::vector<ValueId> inputs_, outputs_;
  std::vector<std::string> output_gradients_;
};

void Differentiator::MarkLeads() {
  leads_.assign(graph_.values().size(), false);
  for (const std::string& name : wanted_names_) {
    const ValueId id = graph_.FindValue(name);
    if (id >= 0) leads_[id] = true;
  }
  for (const Node& node : graph_.nodes()) {
    bool leads = false;
    for (ValueId id : node.AllInputs()) leads = leads || leads_[id];
    for (ValueId id : node.outputs) leads_[id] = leads_[id] || leads;
  }
}

absl::StatusOr<std::string> Differentiator::Materialized(
    const std::string& gradient) {
  if (gradient != kOne || graph_.FindNode(kOne) >= 0) return gradient;
  op::Constant one;
  one.set_value(1);
  TAMER_RETURN_IF_ERROR(graph_.AddNode(kOne, one, {}).status());
  return gradient;
}

absl::StatusOr<std::string> Differentiator::Total(ValueId id) {
  std::vector<std::string>& parts = into_[id];
  if (parts.empty()) return std::string();
  if (parts.size() > 1) {
    for (std::string& part : parts) {
      TAMER_ASSIGN_OR_RETURN(part, Materialized(part));
    }
    const std::string name = absl::StrCat(
        "grad/", absl::StrReplaceAll(graph_.value(id).name, {{":", "."}}),
        "/sum");
    TAMER_RETURN_IF_ERROR(graph_.AddNode(name, op::Add(), parts).status());
    parts = {name};
  }
  return parts[0];
}

absl::Status Differentiator::VisitNode(NodeId id) {
  const Node node = graph_.node(id);
  bool flows = false, leads = false;
  std::vector<std::string> gradients;
  for (ValueId output : node.outputs) {
    TAMER_ASSIGN_OR_RETURN(gradients.emplace_back(), Total(output));
    flows = flows || !gradients.back().empty();
  }
  for (ValueId input : node.AllInputs()) leads = leads || leads_[input];
  if (!flows || !leads) return absl::OkStatus();
  NodeGradient builder(*this, node, std::move(gradients));
  const absl::Status status = node.op->Gradient(builder);
  if (status.ok()) return status;
  const std::string where = absl::StrCat(node.location.Prefix(), "node \"",
                                         node.name, "\": ", status.message());
  if (status.code() != absl::StatusCode::kUnimplemented) {
    return absl::Status(status.code(), where);
  }
  return Invalid(where, ", so what comes before it cannot be trained; freeze ",
                 "that, or leave the node out");
}

absl::StatusOr<std::map<std::string, std::string>> Differentiator::Run() {
  MarkLeads();
  // Nodes emitted on the way are not differentiated themselves.
  const NodeId nodes = static_cast<NodeId>(graph_.nodes().size());
  into_.assign(graph_.values().size(), {});
  into_[graph_.FindValue(loss_)].push_back(kOne);
  for (NodeId id = nodes - 1; id >= 0; --id) {
    TAMER_RETURN_IF_ERROR(VisitNode(id));
  }
  std::map<std::string, std::string> result;
  for (const std::string& name : wanted_names_) {
    const ValueId id = graph_.FindValue(name);
    if (id < 0 || into_[id].empty()) continue;
    TAMER_ASSIGN_OR_RETURN(const std::string total, Total(id));
    TAMER_ASSIGN_OR_RETURN(result[name], Materialized(total));
  }
  return result;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> Differentiate(
    Graph& graph, const std::string& loss,
    const std::vector<std::string>& wanted) {
  return Differentiator(graph, loss, wanted).Run();
}

}  // namespace tamer
