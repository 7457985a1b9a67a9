#include "core/passes/accumulate.h"

#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "core/passes/gradient_parts.h"
#include "core/passes/shared_factors.h"
#include "core/passes/solver.h"
#include "proto/ops/accumulate.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/embedding.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

// How many products an update makes its gradient of.
int ProductsOf(const Node& update) {
  const std::unique_ptr<OpParams> params(update.params->New());
  params->CopyFrom(*update.params);
  const op::UpdateSettings* settings = UpdateSettingsOf(params.get());
  return settings == nullptr ? 0 : settings->product_size();
}

// Cuts a training graph where gradients flow into the updates.
class Splitter {
 public:
  Splitter(const Graph& graph, const GradientTeam& team)
      : graph_(graph),
        factors_(graph, team),
        late_(graph.nodes().size(), false),
        dropped_(graph.nodes().size(), false),
        gradient_(graph.nodes().size(), -1),
        result_{Graph(&graph.registry()), Graph(&graph.registry()), {}} {}

  absl::StatusOr<AccumulationGraphs> Split() {
    result_.gather.set_name(graph_.name());
    result_.update.set_name(graph_.name());
    TAMER_RETURN_IF_ERROR(FindLate());
    TAMER_RETURN_IF_ERROR(BuildGather());
    TAMER_RETURN_IF_ERROR(BuildUpdate());
    result_.shared = factors_.rows();
    return std::move(result_);
  }

 private:
  const std::string& NameOf(ValueId id) const { return graph_.value(id).name; }
  bool IsUpdate(const Node& node) const {
    return absl::StartsWith(node.name, kUpdate) && node.inputs.size() >= 2;
  }

  // Updates, and the limits that stand between a gradient and them.
  absl::Status FindLate() {
    for (NodeId id = static_cast<NodeId>(graph_.nodes().size()) - 1; id >= 0;
         --id) {
      const Node& node = graph_.node(id);
      if (IsUpdate(node)) {
        late_[id] = true;
        if (factors_.Share(id)) continue;
        TAMER_ASSIGN_OR_RETURN(gradient_[id], GradientOf(node));
        MarkLimit(gradient_[id]);
      } else if (late_[id]) {
        for (ValueId input : node.inputs) MarkLimit(input);
      }
    }
    return absl::OkStatus();
  }

  void MarkLimit(ValueId id) {
    const Value& value = graph_.value(id);
    if (value.kind == Value::kOutput &&
        LimitsGradients(graph_.node(value.node))) {
      late_[value.node] = true;
    }
  }

  // What an update reads as its gradient. One that takes the rows of a
  // minibatch's tokens instead gets the whole gradient again, which is still in
  // the graph: with other minibatches' come other rows.
  absl::StatusOr<ValueId> GradientOf(const Node& update) {
    const int products = ProductsOf(update);
    if (products == 0) return update.inputs[1];
    const auto begin = update.inputs.begin() + 1;
    const std::vector<ValueId> factors(begin, begin + 2 * products);
    for (size_t i = 1; i < factors.size(); i += 2) {
      const Value& rows = graph_.value(factors[i]);
      if (rows.kind != Value::kOutput ||
          !LimitsGradients(graph_.node(rows.node))) {
        continue;
      }
      dropped_[rows.node] = true;
    }
    const ValueId limited =
        graph_.FindValue("clip_norm/" + NameOf(update.inputs[0]));
    if (limited >= 0) return limited;
    for (const Node& node : graph_.nodes()) {
      std::vector<ValueId> made;
      if (node.outputs.size() == 1 && MadeOfTokens(node, &made) &&
          made == factors) {
        return node.outputs[0];
      }
    }
    return Invalid("accumulate: node \"", update.name,
                   "\" makes its gradient itself; accumulation comes before ",
                   "fusing");
  }

  // Adds the tokens and rows that `node` is a sum over; false if it is none.
  bool MadeOfTokens(const Node& node, std::vector<ValueId>* factors) const {
    const auto* schema = node.params->GetDescriptor();
    if (schema == op::EmbeddingGradient::descriptor()) {
      factors->insert(factors->end(), node.inputs.begin(), node.inputs.end());
      return true;
    }
    if (schema != op::Add::descriptor()) return false;
    for (ValueId id : node.inputs) {
      const Value& value = graph_.value(id);
      if (value.kind != Value::kOutput ||
          !MadeOfTokens(graph_.node(value.node), factors)) {
        return false;
      }
    }
    return true;
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
    for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
      if (gradient_[id] < 0) continue;
      TAMER_RETURN_IF_ERROR(AddAccumulator(id));
    }
    for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
      if (late_[id] || dropped_[id]) continue;
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
    return factors_.AddOutputs(&gather);
  }

  // One for each gradient; two parameters may have the same.
  absl::Status AddAccumulator(NodeId update) {
    const ValueId gradient = RawGradient(gradient_[update]);
    const Value& parameter = graph_.value(graph_.node(update).inputs[0]);
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
    TAMER_RETURN_IF_ERROR(factors_.AddInputs(&update));
    for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
      if (!late_[id]) continue;
      const Node& node = graph_.node(id);
      if (IsUpdate(node)) {
        TAMER_RETURN_IF_ERROR(AddVariable(NameOf(node.inputs[0]),
                                          graph_.value(node.inputs[0]).type,
                                          &update));
      }
      if (factors_.Shares(id)) {
        TAMER_RETURN_IF_ERROR(factors_.AddUpdate(id, &update));
      } else if (gradient_[id] >= 0) {
        TAMER_RETURN_IF_ERROR(CopyUpdate(id));
      } else {
        TAMER_RETURN_IF_ERROR(CopyNode(graph_, node, accumulators_, &update));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CopyUpdate(NodeId id) {
    Node node = graph_.node(id);
    const int products = ProductsOf(node);
    if (products > 0) {
      std::shared_ptr<OpParams> params(node.params->New());
      params->CopyFrom(*node.params);
      UpdateSettingsOf(params.get())->clear_product();
      node.params = params;
      node.inputs.erase(node.inputs.begin() + 1,
                        node.inputs.begin() + 1 + 2 * products);
      node.inputs.insert(node.inputs.begin() + 1, gradient_[id]);
    }
    return CopyNode(graph_, node, accumulators_, &result_.update);
  }

  const Graph& graph_;
  SharedFactors factors_;
  std::vector<bool> late_;                       // nodes
  std::vector<bool> dropped_;                    // limits of tokens' rows
  std::vector<ValueId> gradient_;                // of updates, by node
  std::map<ValueId, std::string> accumulators_;  // by gradient
  // Gradients and what they are of, in the order of updates.
  std::vector<std::pair<ValueId, std::string>> order_;
  AccumulationGraphs result_;
};

}  // namespace

absl::StatusOr<AccumulationGraphs> Accumulate(const Graph& training,
                                              const GradientTeam& team) {
  if (UpdatedBy(training).empty()) {
    return Invalid("accumulate: the graph updates no parameter");
  }
  return Splitter(training, team).Split();
}

}  // namespace tamer
