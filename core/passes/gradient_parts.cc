#include "core/passes/gradient_parts.h"

#include "proto/ops/accumulate.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

constexpr size_t kMostProducts = 8;

}  // namespace

bool IsBuiltInRule(const OpParams& params) {
  for (const auto* schema :
       {op::Sgd::descriptor(), op::Momentum::descriptor(),
        op::Adam::descriptor(), op::RmsProp::descriptor(),
        op::AdaGrad::descriptor(), op::Accumulate::descriptor()}) {
    if (params.GetDescriptor() == schema) return true;
  }
  return false;
}

bool LimitsGradients(const Node& node) {
  const auto* schema = node.params->GetDescriptor();
  return schema == op::ClipByValue::descriptor() ||
         schema == op::ClipByNorm::descriptor() ||
         schema == op::SumOfSquares::descriptor();
}

op::UpdateSettings* UpdateSettingsOf(OpParams* params) {
  const auto* field = params->GetDescriptor()->FindFieldByName("settings");
  if (field == nullptr ||
      field->message_type() != op::UpdateSettings::descriptor()) {
    return nullptr;
  }
  return static_cast<op::UpdateSettings*>(
      params->GetReflection()->MutableMessage(params, field));
}

GradientParts::GradientParts(const Graph& graph) : graph_(graph) {
  readers_.assign(graph.values().size(), 0);
  is_output_.assign(graph.values().size(), false);
  for (const Node& node : graph.nodes()) {
    for (ValueId id : node.inputs) ++readers_[id];
  }
  for (ValueId id : graph.outputs()) is_output_[id] = true;
}

void GradientParts::Unscale(Part* part) const {
  while (const auto* scale = MadeBy<op::Scale>(part->b)) {
    op::GradientProduct& product = part->product;
    if (scale->divide_by_batch() && product.divide_by_batch()) return;
    product.set_factor(product.factor() * scale->factor());
    if (scale->divide_by_batch()) product.set_divide_by_batch(true);
    part->b = MakerInputs(part->b)[0];
  }
}

// a' b, and if both are stacked of equal pieces the sum of their products.
std::vector<GradientParts::Part> GradientParts::MatrixParts(
    ValueId gradient) const {
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
    const auto& a = MakerInputs(whole.a);
    const auto& b = MakerInputs(whole.b);
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
void GradientParts::Unfold(const Part& part, std::vector<Part>* parts) const {
  Part here = part;
  Unscale(&here);
  const auto* stack = MadeBy<op::Concat>(here.b);
  const bool sub = MadeBy<op::Sub>(here.b) != nullptr;
  if (!sub && (stack == nullptr || stack->axis() != 0)) {
    parts->push_back(here);
    return;
  }
  const auto& inputs = MakerInputs(here.b);
  for (size_t i = 0; i < inputs.size(); ++i) {
    Part one = here;
    one.b = inputs[i];
    if (sub && i == 1) one.product.set_factor(-one.product.factor());
    Unfold(one, parts);
  }
}

std::vector<GradientParts::Part> GradientParts::VectorParts(
    ValueId gradient) const {
  const auto* sum = MadeBy<op::Reduce>(gradient);
  if (sum == nullptr || sum->kind() != op::Reduce::SUM) return {};
  Part whole;
  whole.b = MakerInputs(gradient)[0];
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

std::vector<GradientParts::Part> GradientParts::PartsOf(ValueId gradient,
                                                        int rank) const {
  if (!ReadOnce(gradient)) return {};
  if (MadeBy<op::Add>(gradient) == nullptr) {
    return rank == 2   ? MatrixParts(gradient)
           : rank == 1 ? VectorParts(gradient)
                       : std::vector<Part>();
  }
  std::vector<Part> all;
  for (ValueId id : MakerInputs(gradient)) {
    const std::vector<Part> parts = PartsOf(id, rank);
    if (parts.empty()) return {};
    all.insert(all.end(), parts.begin(), parts.end());
  }
  return all;
}

std::optional<RewrittenNode> GradientParts::UpdateByParts(
    const Node& update, Precision precision) const {
  if (!IsBuiltInRule(*update.params)) return std::nullopt;
  RewrittenNode result;
  result.params.reset(update.params->New());
  result.params->CopyFrom(*update.params);
  op::UpdateSettings* settings = UpdateSettingsOf(result.params.get());
  if (settings->product_size() > 0) return std::nullopt;
  const int rank = graph_.value(update.inputs[0]).type.shape.rank();
  const std::vector<Part> parts = PartsOf(update.inputs[1], rank);
  if (parts.empty() || parts.size() > kMostProducts) return std::nullopt;
  result.inputs = {update.inputs[0]};
  for (const Part& part : parts) {
    if (part.a >= 0) result.inputs.push_back(part.a);
    result.inputs.push_back(part.b);
    *settings->add_product() = part.product;
  }
  if (rank == 2 && precision != FP32) settings->set_precision(precision);
  result.inputs.insert(result.inputs.end(), update.inputs.begin() + 2,
                       update.inputs.end());
  return result;
}

}  // namespace tamer
