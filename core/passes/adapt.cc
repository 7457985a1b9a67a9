#include <algorithm>
#include <cmath>

#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

bool Chosen(const Node& node, const AdaptersDef& adapters,
            const std::vector<std::string>& fresh) {
  if (node.params->GetDescriptor() != op::Dense::descriptor() ||
      !node.share_with.empty()) {
    return false;
  }
  if (adapters.node().empty()) {
    return std::find(fresh.begin(), fresh.end(), node.name) == fresh.end();
  }
  return std::any_of(
      adapters.node().begin(), adapters.node().end(),
      [&](const std::string& name) { return Covers(name, node.name); });
}

// The op that applies `dense`'s activation alone; null if it has none.
std::unique_ptr<OpParams> ActivationOf(const op::Dense& dense) {
  switch (dense.activation()) {
    case op::SIGMOID:
      return std::make_unique<op::Sigmoid>();
    case op::TANH:
      return std::make_unique<op::Tanh>();
    case op::RELU:
      return std::make_unique<op::Relu>();
    case op::LEAKY_RELU: {
      auto leaky = std::make_unique<op::LeakyRelu>();
      leaky->set_slope(dense.slope());
      return leaky;
    }
    case op::GELU:
      return std::make_unique<op::Gelu>();
    case op::LINEAR:
      break;
  }
  return std::make_unique<op::Identity>();
}

// Adds Dense `node` in parts: parameters, the affine map, the adapter's own
// way, their sum, and the activation, which bears the node's name.
absl::Status AddAdapted(const Graph& network, const Node& node,
                        const AdaptersDef& adapters, Graph* graph) {
  const auto& dense = static_cast<const op::Dense&>(*node.params);
  const std::string x = network.value(node.inputs[0]).name;
  const int64_t in = network.value(node.inputs[0]).type.shape.back();
  absl::Status status;
  const auto add = [&](const std::string& suffix, const OpParams& op,
                       const std::vector<std::string>& inputs) {
    const std::string name = node.name + suffix;
    if (status.ok()) {
      status = graph->AddNode(name, op, inputs, "", node.location).status();
    }
    return name;
  };
  const auto parameter = [&](const std::string& suffix,
                             const std::vector<int64_t>& shape, float stddev) {
    op::Parameter op;
    for (int64_t dim : shape) op.add_shape(dim);
    if (stddev > 0) op.mutable_init()->mutable_gaussian()->set_stddev(stddev);
    op.set_decay(shape.size() > 1);
    return add(suffix, op, {});
  };
  const int64_t rank = adapters.rank();
  std::vector<std::string> inputs = {
      x, parameter("/weight", {in, dense.units()}, 0)};
  if (dense.bias()) inputs.push_back(parameter("/bias", {dense.units()}, 0));
  const std::string a =
      parameter("/lora_a", {in, rank}, 1 / std::sqrt(static_cast<float>(in)));
  const std::string b = parameter("/lora_b", {rank, dense.units()}, 0);
  op::Scale scale;
  scale.set_factor(AdapterScale(adapters));
  const std::string narrow = add("/lora_down", op::Affine(), {x, a});
  const std::string wide =
      add("/lora", scale, {add("/lora_up", op::Affine(), {narrow, b})});
  const std::string sum =
      add("/sum", op::Add(), {add("/base", op::Affine(), inputs), wide});
  add("", *ActivationOf(dense), {sum});
  return status;
}

}  // namespace

float AdapterScale(const AdaptersDef& adapters) {
  if (!adapters.has_alpha()) return 2;
  return adapters.alpha() / static_cast<float>(adapters.rank());
}

absl::StatusOr<Graph> Adapt(const Graph& network, const AdaptersDef& adapters,
                            const std::vector<std::string>& fresh,
                            std::vector<std::string>* frozen) {
  if (adapters.rank() < 1 || adapters.rank() > 4096) {
    return Invalid("adapters: rank is ", adapters.rank(),
                   "; it must be 1 to 4096");
  }
  if (!std::isfinite(AdapterScale(adapters)) || AdapterScale(adapters) <= 0) {
    return Invalid("adapters: alpha is ", adapters.alpha(),
                   "; it must be above 0");
  }
  for (const std::string& name : adapters.node()) {
    TAMER_RETURN_IF_ERROR(CheckCoversSome(network, name, "adapters: node"));
  }
  Graph graph(&network.registry());
  graph.set_name(network.name());
  for (ValueId id : network.inputs()) {
    const Value& value = network.value(id);
    TAMER_RETURN_IF_ERROR(graph.AddInput(value.name, value.type).status());
  }
  for (const Node& node : network.nodes()) {
    if (Chosen(node, adapters, fresh)) {
      TAMER_RETURN_IF_ERROR(AddAdapted(network, node, adapters, &graph));
      frozen->push_back(node.name + "/weight");
      if (network.FindValue(node.name + "/bias") >= 0) {
        frozen->push_back(node.name + "/bias");
      }
      continue;
    }
    std::vector<std::string> inputs;
    for (ValueId id : node.inputs) inputs.push_back(network.value(id).name);
    TAMER_RETURN_IF_ERROR(graph
                              .AddNode(node.name, *node.params, inputs,
                                       node.share_with, node.location)
                              .status());
  }
  if (frozen->empty()) {
    return Invalid("adapters: there is no Dense node to adapt");
  }
  for (const std::string& output : OutputNames(network)) {
    TAMER_RETURN_IF_ERROR(graph.AddOutput(output));
  }
  return graph;
}

}  // namespace tamer
