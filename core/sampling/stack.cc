#include "core/sampling/stack.h"

#include "core/passes/passes.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

// How the layer was pretrained tells what stands below it.
VisibleUnits VisibleOf(const Product& product, const std::string& node) {
  for (const StageDef& stage : product.manifest.recipe().stage()) {
    for (const PretrainLayer& layer : stage.pretrain().layer()) {
      if (layer.node() != node) continue;
      if (layer.has_rbm()) return layer.rbm().visible();
      if (layer.has_autoencoder()) return layer.autoencoder().visible();
      if (layer.has_unrolled()) return layer.unrolled().visible();
    }
  }
  return BERNOULLI;
}

// The network's Dense nodes from the input on, each reading the one before (but
// for nodes that prediction leaves out).
absl::StatusOr<std::vector<TwoWayLayer>> DenseChain(const Product& product) {
  TAMER_ASSIGN_OR_RETURN(const Graph network, Infer(product.network));
  std::vector<TwoWayLayer> chain;
  std::string below =
      network.inputs().empty() ? "" : network.value(network.inputs()[0]).name;
  for (const Node& node : network.nodes()) {
    if (node.params->GetDescriptor() != op::Dense::descriptor() ||
        network.value(node.inputs[0]).name != below) {
      continue;
    }
    const auto& dense = static_cast<const op::Dense&>(*node.params);
    TwoWayLayer layer;
    layer.node = node.name;
    layer.below = network.value(node.inputs[0]).type.shape.back();
    layer.units = dense.units();
    layer.rectified = dense.activation() == op::RELU;
    layer.visible = VisibleOf(product, node.name);
    layer.down_weight = node.name + "/weight";
    layer.down_transposed = true;
    for (const char* kind : {"/generative_weight", "/decoder_weight"}) {
      if (product.variables.Find(node.name + kind) == nullptr) continue;
      layer.down_weight = node.name + kind;
      layer.down_transposed = false;
      break;
    }
    chain.push_back(layer);
    below = node.name;
  }
  return chain;
}

}  // namespace

absl::StatusOr<std::vector<TwoWayLayer>> FindChain(const Product& product,
                                                   const std::string& top) {
  TAMER_ASSIGN_OR_RETURN(std::vector<TwoWayLayer> chain, DenseChain(product));
  for (size_t i = 0; i < chain.size(); ++i) {
    if (chain[i].node != top) continue;
    chain.resize(i + 1);
    return chain;
  }
  return Invalid(product.path, ": there is no Dense layer \"", top,
                 "\" in a row from the input");
}

absl::StatusOr<std::vector<TwoWayLayer>> FindStack(const Product& product,
                                                   const std::string& top) {
  TAMER_ASSIGN_OR_RETURN(const std::vector<TwoWayLayer> chain,
                         DenseChain(product));
  std::vector<TwoWayLayer> stack;
  for (const TwoWayLayer& layer : chain) {
    const bool two_way =
        product.variables.Find(layer.node + "/visible_bias") != nullptr;
    if (!two_way && top.empty()) break;
    if (!two_way) {
      return absl::FailedPreconditionError(absl::StrCat(
          product.path, ": layer \"", layer.node, "\" was not pretrained, so ",
          "it cannot be run downwards"));
    }
    stack.push_back(layer);
    if (layer.node == top) return stack;
  }
  if (!top.empty()) {
    return Invalid(product.path, ": there is no Dense layer \"", top,
                   "\" in a row from the input");
  }
  if (stack.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(product.path, ": its first layer was not pretrained"));
  }
  return stack;
}

std::string StackGraph::Add(const std::string& name, const OpParams& op,
                            const std::vector<std::string>& inputs) {
  if (status_.ok()) status_ = graph_.AddNode(name, op, inputs).status();
  return name;
}

std::string StackGraph::Parameter(const std::string& name,
                                  const std::vector<int64_t>& shape) {
  if (graph_.FindValue(name) >= 0) return name;
  op::Parameter parameter;
  for (int64_t dim : shape) parameter.add_shape(dim);
  return Add(name, parameter, {});
}

std::string StackGraph::Up(const std::string& name, const TwoWayLayer& layer,
                           const std::string& x, bool linear) {
  op::Affine affine;
  if (!linear) {
    affine.set_activation(layer.rectified ? op::RELU : op::SIGMOID);
  }
  return Add(name, affine,
             {x, Parameter(layer.node + "/weight", {layer.below, layer.units}),
              Parameter(layer.node + "/bias", {layer.units})});
}

std::string StackGraph::Down(const std::string& name, const TwoWayLayer& layer,
                             const std::string& x, bool linear) {
  op::Affine affine;
  affine.set_transpose_weight(layer.down_transposed);
  if (!linear && layer.visible != GAUSSIAN) {
    affine.set_activation(layer.visible == RECTIFIED ? op::RELU : op::SIGMOID);
  }
  const std::vector<int64_t> shape =
      layer.down_transposed ? std::vector<int64_t>{layer.below, layer.units}
                            : std::vector<int64_t>{layer.units, layer.below};
  return Add(name, affine,
             {x, Parameter(layer.down_weight, shape),
              Parameter(layer.node + "/visible_bias", {layer.below})});
}

std::string StackGraph::SampleHidden(const std::string& name,
                                     const TwoWayLayer& layer,
                                     const std::string& x) {
  op::Sample sample;
  if (layer.rectified) sample.set_distribution(op::Sample::RECTIFIED);
  return Add(name, sample, {Up(name + "_mean", layer, x, layer.rectified)});
}

std::string StackGraph::SampleVisible(const std::string& name,
                                      const TwoWayLayer& layer,
                                      const std::string& mean) {
  if (layer.visible == RECTIFIED) return mean;
  op::Sample sample;
  if (layer.visible == GAUSSIAN) {
    sample.set_distribution(op::Sample::GAUSSIAN);
  }
  return Add(name, sample, {mean});
}

}  // namespace tamer
