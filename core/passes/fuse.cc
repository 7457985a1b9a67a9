#include <map>
#include <memory>
#include <vector>

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

constexpr int kMostProducts = 8;

// A part of a gradient: factor * a' b, or factor * sum of b's rows.
struct Part {
  ValueId a = -1, b = -1;
  op::GradientProduct product;
};

// A node as it will be.
struct Rewritten {
  std::unique_ptr<OpParams> params;
  std::vector<ValueId> inputs;
};

class Fuser {
 public:
  Fuser(const Graph& graph, Precision precision)
      : graph_(graph), precision_(precision) {}

  absl::StatusOr<Graph> Fuse();

 private:
  // The parameters of the node that computes `id`, if it is of this op.
  template <typename Params>
  const Params* MadeBy(ValueId id) const;
  bool ReadOnce(ValueId id) const {
    return readers_[id] == 1 && !is_output_[id];
  }

  void CountReaders();
  void Rewrite(NodeId id);
  void RewriteUpdate(NodeId id);
  void RewriteSlope(NodeId id);
  // What a gradient that nobody else reads is the sum of; empty if it is no
  // sum of products or of rows.
  std::vector<Part> PartsOf(ValueId gradient, int rank) const;
  std::vector<Part> MatrixParts(ValueId gradient) const;
  std::vector<Part> VectorParts(ValueId gradient) const;
  // Takes Scale nodes off what `part` reads.
  void Unscale(Part* part) const;
  void Unfold(const Part& part, std::vector<Part>* parts) const;
  void FindNeeded();
  absl::StatusOr<Graph> Build() const;

  const std::vector<ValueId>& InputsOf(NodeId id) const {
    const auto it = rewritten_.find(id);
    return it == rewritten_.end() ? graph_.node(id).inputs : it->second.inputs;
  }

  const Graph& graph_;
  const Precision precision_;
  std::vector<int> readers_;
  std::vector<bool> is_output_;
  std::map<NodeId, Rewritten> rewritten_;
  std::vector<bool> needed_;  // nodes
};

template <typename Params>
const Params* Cast(const Node& node) {
  return node.params->GetDescriptor() == Params::descriptor()
             ? static_cast<const Params*>(node.params.get())
             : nullptr;
}

template <typename Params>
const Params* Fuser::MadeBy(ValueId id) const {
  const Value& value = graph_.value(id);
  if (value.kind != Value::kOutput || value.index != 0) return nullptr;
  return Cast<Params>(graph_.node(value.node));
}

void Fuser::CountReaders() {
  readers_.assign(graph_.values().size(), 0);
  is_output_.assign(graph_.values().size(), false);
  for (const Node& node : graph_.nodes()) {
    for (ValueId id : node.inputs) ++readers_[id];
  }
  for (ValueId id : graph_.outputs()) is_output_[id] = true;
}

void Fuser::Unscale(Part* part) const {
  while (const auto* scale = MadeBy<op::Scale>(part->b)) {
    op::GradientProduct& product = part->product;
    if (scale->divide_by_batch() && product.divide_by_batch()) return;
    product.set_factor(product.factor() * scale->factor());
    if (scale->divide_by_batch()) product.set_divide_by_batch(true);
    part->b = graph_.node(graph_.value(part->b).node).inputs[0];
  }
}

// a' b, and if both are stacked of equal pieces the sum of their products.
std::vector<Part> Fuser::MatrixParts(ValueId gradient) const {
  const auto* product = MadeBy<op::MatMul>(gradient);
  if (product == nullptr || !product->transpose_a() || product->transpose_b()) {
    return {};
  }
  const Node& node = graph_.node(graph_.value(gradient).node);
  Part whole;
  whole.a = node.inputs[0];
  whole.b = node.inputs[1];
  const auto* a_stack = MadeBy<op::Concat>(whole.a);
  const auto* b_stack = MadeBy<op::Concat>(whole.b);
  std::vector<Part> parts = {whole};
  if (a_stack != nullptr && b_stack != nullptr && a_stack->axis() == 0 &&
      b_stack->axis() == 0) {
    const auto& a = graph_.node(graph_.value(whole.a).node).inputs;
    const auto& b = graph_.node(graph_.value(whole.b).node).inputs;
    bool equal = a.size() == b.size();
    for (size_t i = 0; equal && i < a.size(); ++i) {
      equal = graph_.value(a[i]).type.shape.dim(0) ==
              graph_.value(b[i]).type.shape.dim(0);
    }
    if (equal) {
      parts.assign(a.size(), Part());
      for (size_t i = 0; i < a.size(); ++i) {
        parts[i].a = a[i];
        parts[i].b = b[i];
      }
    }
  }
  for (Part& part : parts) Unscale(&part);
  return parts;
}

// Adds what `part` is the sum of.
void Fuser::Unfold(const Part& part, std::vector<Part>* parts) const {
  Part here = part;
  Unscale(&here);
  const auto* stack = MadeBy<op::Concat>(here.b);
  const bool sub = MadeBy<op::Sub>(here.b) != nullptr;
  if (!sub && (stack == nullptr || stack->axis() != 0)) {
    parts->push_back(here);
    return;
  }
  const auto& inputs = graph_.node(graph_.value(here.b).node).inputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Part one = here;
    one.b = inputs[i];
    if (sub && i == 1) one.product.set_factor(-one.product.factor());
    Unfold(one, parts);
  }
}

std::vector<Part> Fuser::VectorParts(ValueId gradient) const {
  const auto* sum = MadeBy<op::Reduce>(gradient);
  if (sum == nullptr || sum->kind() != op::Reduce::SUM) return {};
  Part whole;
  whole.b = graph_.node(graph_.value(gradient).node).inputs[0];
  const int rank = graph_.value(whole.b).type.shape.rank();
  // All dimensions but the last, in order, as a bias's gradient is made.
  if (rank < 2 || sum->axis_size() != rank - 1) return {};
  for (int i = 0; i < rank - 1; ++i) {
    if (sum->axis(i) != i) return {};
  }
  whole.product.set_row_sum(true);
  std::vector<Part> parts;
  Unfold(whole, &parts);
  return parts;
}

std::vector<Part> Fuser::PartsOf(ValueId gradient, int rank) const {
  if (!ReadOnce(gradient)) return {};
  if (MadeBy<op::Add>(gradient) == nullptr) {
    return rank == 2   ? MatrixParts(gradient)
           : rank == 1 ? VectorParts(gradient)
                       : std::vector<Part>();
  }
  std::vector<Part> all;
  for (ValueId id : graph_.node(graph_.value(gradient).node).inputs) {
    const std::vector<Part> parts = PartsOf(id, rank);
    if (parts.empty()) return {};
    all.insert(all.end(), parts.begin(), parts.end());
  }
  return all;
}

// Whether `settings` of a built-in update rule are found, in a copy.
op::UpdateSettings* SettingsOf(OpParams* params) {
  for (const auto* schema :
       {op::Sgd::descriptor(), op::Momentum::descriptor(),
        op::Adam::descriptor(), op::RmsProp::descriptor(),
        op::AdaGrad::descriptor(), op::Accumulate::descriptor()}) {
    if (params->GetDescriptor() != schema) continue;
    return static_cast<op::UpdateSettings*>(
        params->GetReflection()->MutableMessage(
            params, schema->FindFieldByName("settings")));
  }
  return nullptr;
}

void Fuser::RewriteUpdate(NodeId id) {
  const Node& node = graph_.node(id);
  Rewritten update;
  update.params.reset(node.params->New());
  update.params->CopyFrom(*node.params);
  op::UpdateSettings* settings = SettingsOf(update.params.get());
  if (settings == nullptr || settings->product_size() > 0) return;
  const int rank = graph_.value(node.inputs[0]).type.shape.rank();
  const std::vector<Part> parts = PartsOf(node.inputs[1], rank);
  if (parts.empty() || parts.size() > kMostProducts) return;
  update.inputs = {node.inputs[0]};
  for (const Part& part : parts) {
    if (part.a >= 0) update.inputs.push_back(part.a);
    update.inputs.push_back(part.b);
    *settings->add_product() = part.product;
  }
  if (rank == 2 && precision_ != FP32) settings->set_precision(precision_);
  update.inputs.insert(update.inputs.end(), node.inputs.begin() + 2,
                       node.inputs.end());
  rewritten_[id] = std::move(update);
}

// An activation's gradient after a product that nobody else reads.
void Fuser::RewriteSlope(NodeId id) {
  const Node& node = graph_.node(id);
  const auto& gradient =
      static_cast<const op::ActivationGradient&>(*node.params);
  const auto* affine = MadeBy<op::Affine>(node.inputs[0]);
  if (affine == nullptr || !ReadOnce(node.inputs[0]) ||
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

absl::StatusOr<Graph> Fuser::Build() const {
  Graph result(&graph_.registry());
  result.set_name(graph_.name());
  for (ValueId id : graph_.inputs()) {
    const Value& value = graph_.value(id);
    TAMER_RETURN_IF_ERROR(result.AddInput(value.name, value.type).status());
  }
  for (NodeId id = 0; id < static_cast<NodeId>(graph_.nodes().size()); ++id) {
    if (!needed_[id]) continue;
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
  CountReaders();
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
