#include "core/passes/sparse.h"

#include "absl/strings/str_cat.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/embedding.pb.h"

namespace tamer {
namespace {

constexpr int kMostProducts = 8;

// The parameters of `node`, if it is of this op.
template <typename Params>
const Params* Cast(const Node& node) {
  return node.params->GetDescriptor() == Params::descriptor()
             ? static_cast<const Params*>(node.params.get())
             : nullptr;
}

// The node whose first output is `value`; -1 if there is none.
NodeId MakerOf(const Graph& graph, const std::string& value) {
  const ValueId id = graph.FindValue(value);
  if (id < 0 || graph.value(id).kind != Value::kOutput ||
      graph.value(id).index != 0) {
    return -1;
  }
  return graph.value(id).node;
}

// Adds the products that `value` is the sum of; false if it is no such sum.
bool AddProducts(const Graph& graph, const std::string& value,
                 TokenGradient* result) {
  const NodeId maker = MakerOf(graph, value);
  if (maker < 0) return false;
  const Node& node = graph.node(maker);
  if (const auto* gradient = Cast<op::EmbeddingGradient>(node)) {
    if (!gradient->sparse()) return false;
    op::GradientProduct product;
    product.set_one_hot(true);
    if (gradient->scale() != 1) product.set_factor(gradient->scale());
    result->products.push_back(product);
    for (ValueId input : node.inputs) {
      result->inputs.push_back(graph.value(input).name);
    }
    return static_cast<int>(result->products.size()) <= kMostProducts;
  }
  if (Cast<op::Add>(node) == nullptr) return false;
  for (ValueId input : node.inputs) {
    if (!AddProducts(graph, graph.value(input).name, result)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<TokenGradient> TokenGradientOf(Graph& graph,
                                              const std::string& gradient) {
  std::string source = gradient, squares;
  op::ClipByNorm clip;
  const NodeId maker = MakerOf(graph, gradient);
  if (maker >= 0) {
    const Node& node = graph.node(maker);
    if (const auto* found = Cast<op::ClipByNorm>(node)) {
      clip = *found;
      source = graph.value(node.inputs[0]).name;
      squares = graph.value(node.inputs[1]).name;
    }
  }
  TokenGradient result;
  if (!AddProducts(graph, source, &result)) return TokenGradient();
  if (squares.empty()) return result;
  for (size_t i = 1; i < result.inputs.size(); i += 2) {
    const std::string name = absl::StrCat(gradient, "/rows", i / 2);
    TAMER_RETURN_IF_ERROR(
        graph.AddNode(name, clip, {result.inputs[i], squares}).status());
    result.inputs[i] = name;
  }
  return result;
}

}  // namespace tamer
