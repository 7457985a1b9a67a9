#include "core/advise/layers.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/op/parameters.h"

namespace tamer {
namespace {

bool IsNoise(const Node& node) {
  return node.op->IdentityAtInference() || node.op->name() == "Dropout" ||
         node.op->name() == "DropPath" || node.op->name() == "Corrupt";
}

bool IsShape(const Node& node) {
  static const std::set<std::string>* names =
      new std::set<std::string>{"Flatten", "Reshape", "Identity", "Transpose"};
  return names->count(node.op->name()) > 0;
}

bool IsNorm(const Node& node) {
  const std::string& name = node.op->name();
  return name.find("Norm") != std::string::npos &&
         name.find("Gradient") == std::string::npos;
}

// A variable of two or more dimensions is what a layer multiplies by.
const VariableSpec* WeightOf(const Node& node) {
  const std::string& op = node.op->name();
  if (op != "Dense" && op.compare(0, 4, "Conv") != 0) return nullptr;
  for (const VariableSpec& spec : node.variable_specs) {
    if (spec.name == "weight") return &spec;
  }
  return nullptr;
}

class Looker {
 public:
  explicit Looker(const Graph& network) : network_(network) {
    for (const Node& node : network.nodes()) {
      for (ValueId input : node.inputs) readers_[input].push_back(&node);
    }
  }

  NetworkFacts Look() {
    NetworkFacts facts;
    for (ValueId id : network_.inputs()) {
      const TensorType& type = network_.value(id).type;
      facts.inputs += std::abs(type.shape.elements());
      facts.tokens = facts.tokens || type.dtype == DType::kInt32;
    }
    for (const Node& node : network_.nodes()) {
      Count(node, &facts);
      if (WeightOf(node) != nullptr) facts.layers.push_back(LayerOf(node));
    }
    for (Layer& layer : facts.layers) Follow(&layer, &facts);
    return facts;
  }

 private:
  void Count(const Node& node, NetworkFacts* facts) {
    for (const VariableSpec& spec : node.variable_specs) {
      if (spec.trainable && node.share_with.empty()) {
        facts->parameters += spec.type.shape.elements();
      }
    }
    const std::string& op = node.op->name();
    facts->recurrent =
        facts->recurrent || op == "Lstm" || op == "Gru" || op == "Rnn";
    facts->noise = facts->noise || IsNoise(node);
    facts->normalizes = facts->normalizes || IsNorm(node);
    facts->joins = facts->joins || node.inputs.size() > 1;
  }

  Layer LayerOf(const Node& node) {
    Layer layer;
    layer.node = &node;
    layer.weight = WeightOf(node);
    layer.dense = node.op->name() == "Dense";
    const Shape& weight = layer.weight->type.shape;
    const auto elements = [this](ValueId id) {
      return std::abs(network_.value(id).type.shape.elements());
    };
    layer.inputs = elements(node.inputs[0]);
    layer.outputs = elements(node.outputs[0]);
    if (layer.dense) {
      layer.fan_in = weight.dim(0);
      layer.fan_out = weight.dim(1);
    } else {
      const int64_t kernel =
          weight.elements() /
          std::max<int64_t>(1, weight.dim(0) * weight.dim(1));
      layer.fan_in = weight.dim(1) * kernel;
      layer.fan_out = weight.dim(0) * kernel;
    }
    const std::string own = EnumParameter(*node.params, "activation");
    if (!own.empty() && own != "LINEAR") {
      layer.activation = own;
      layer.activation_node = &node;
    }
    return layer;
  }

  // Along the only way from a layer to the next.
  void Follow(Layer* layer, NetworkFacts* facts) {
    ValueId at = layer->node->outputs[0];
    for (;;) {
      const auto found = readers_.find(at);
      const bool is_output =
          std::find(network_.outputs().begin(), network_.outputs().end(), at) !=
          network_.outputs().end();
      if (is_output) layer->output = true;
      if (found == readers_.end() || found->second.size() != 1) return;
      const Node& reader = *found->second[0];
      const std::string activation = ActivationOp(reader.op->name());
      if (!activation.empty() && layer->activation == "LINEAR") {
        layer->activation = activation;
        layer->activation_node = &reader;
      } else if (IsNorm(reader)) {
        layer->normalized = true;
        const std::string fused = EnumParameter(*reader.params, "activation");
        if (reader.inputs.size() != 1) return;
        if (!fused.empty() && fused != "LINEAR") {
          layer->activation = fused;
          layer->activation_node = &reader;
        }
      } else if (WeightOf(reader) != nullptr) {
        for (Layer& next : facts->layers) {
          if (next.node == &reader) layer->next = &next;
        }
        return;
      } else if (!IsNoise(reader) && !IsShape(reader)) {
        return;
      }
      at = reader.outputs[0];
    }
  }

  const Graph& network_;
  std::map<ValueId, std::vector<const Node*>> readers_;
};

}  // namespace

const Layer* NetworkFacts::FindLayer(const std::string& node) const {
  for (const Layer& layer : layers) {
    if (layer.node->name == node) return &layer;
  }
  return nullptr;
}

std::vector<const Layer*> NetworkFacts::Hidden() const {
  std::vector<const Layer*> hidden;
  for (const Layer& layer : layers) {
    if (!layer.output) hidden.push_back(&layer);
  }
  return hidden;
}

NetworkFacts LookAt(const Graph& network) { return Looker(network).Look(); }

}  // namespace tamer
