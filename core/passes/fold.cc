#include "core/passes/fold.h"

#include <cmath>
#include <map>

#include "core/passes/copy.h"
#include "proto/ops/conv.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

// The layer with a bias and this activation; null if it isn't a linear `Layer`.
template <typename Layer>
std::unique_ptr<OpParams> Extended(const OpParams& params,
                                   op::Activation activation) {
  if (params.GetDescriptor() != Layer::descriptor()) return nullptr;
  auto layer = std::make_unique<Layer>(static_cast<const Layer&>(params));
  if (layer->activation() != op::LINEAR) return nullptr;
  layer->set_bias(true);
  layer->set_activation(activation);
  return layer;
}

std::unique_ptr<OpParams> ExtendedLayer(const OpParams& params,
                                        op::Activation activation) {
  auto layer = Extended<op::Dense>(params, activation);
  if (layer == nullptr) layer = Extended<op::Conv1D>(params, activation);
  if (layer == nullptr) layer = Extended<op::Conv2D>(params, activation);
  if (layer == nullptr) layer = Extended<op::Conv3D>(params, activation);
  return layer;
}

class Folder {
 public:
  Folder(const Graph& graph, std::vector<FoldedNorm>* folded)
      : graph_(graph), folded_(folded), result_(&graph.registry()) {}

  absl::StatusOr<Graph> Fold() {
    CountReaders();
    for (const Node& node : graph_.nodes()) Find(node);
    result_.set_name(graph_.name());
    for (ValueId id : graph_.inputs()) {
      const Value& value = graph_.value(id);
      TAMER_RETURN_IF_ERROR(result_.AddInput(value.name, value.type).status());
    }
    for (const Node& node : graph_.nodes()) {
      TAMER_RETURN_IF_ERROR(Copy(node));
    }
    for (const std::string& output : OutputNames(graph_)) {
      TAMER_RETURN_IF_ERROR(result_.AddOutput(output));
    }
    return std::move(result_);
  }

 private:
  void CountReaders() {
    readers_.assign(graph_.values().size(), 0);
    for (ValueId id : graph_.outputs()) ++readers_[id];
    for (const Node& node : graph_.nodes()) {
      for (ValueId id : node.AllInputs()) ++readers_[id];
    }
  }

  // Whether the node alone uses its variables.
  bool OwnsAll(const Node& node) const {
    if (!node.share_with.empty()) return false;
    for (ValueId id : node.variables) {
      if (readers_[id] != 1) return false;
    }
    return true;
  }

  // Notes the layer before `node` if that is a norm to be folded.
  void Find(const Node& node) {
    if (node.params->GetDescriptor() != op::BatchNorm::descriptor()) return;
    const auto& norm = static_cast<const op::BatchNorm&>(*node.params);
    const Value& x = graph_.value(node.inputs[0]);
    if (!norm.running() || node.inputs.size() != 1 || !OwnsAll(node) ||
        x.kind != Value::kOutput || x.index != 0 ||
        readers_[node.inputs[0]] != 1) {
      return;
    }
    // The statistics it used, which a layer doesn't have, must be of no use.
    for (size_t i = 1; i < node.outputs.size(); ++i) {
      if (readers_[node.outputs[i]] > 0) return;
    }
    const Node& layer = graph_.node(x.node);
    auto params = ExtendedLayer(*layer.params, norm.activation());
    if (params == nullptr || !OwnsAll(layer)) return;
    // A Dense layer's channels are its last dimension, a norm's the second.
    const bool dense = layer.op->name() == "Dense";
    if (dense && x.type.shape.rank() != 2) return;
    folded_->push_back({layer.name, node.name, norm.epsilon(), !dense});
    layers_[node.name] = std::move(params);
    dropped_[layer.name] = true;
  }

  absl::Status Copy(const Node& node) {
    if (dropped_.count(node.name) > 0) return absl::OkStatus();
    const auto layer = layers_.find(node.name);
    const OpParams* params = node.params.get();
    const Node* source = &node;
    if (layer != layers_.end()) {
      params = layer->second.get();
      source = &graph_.node(graph_.value(node.inputs[0]).node);
    }
    std::vector<std::string> inputs;
    for (ValueId id : source->inputs) inputs.push_back(graph_.value(id).name);
    return result_
        .AddNode(node.name, *params, inputs, node.share_with, node.location)
        .status();
  }

  const Graph& graph_;
  std::vector<FoldedNorm>* folded_;
  Graph result_;
  std::vector<int> readers_;                                 // of each value
  std::map<std::string, std::unique_ptr<OpParams>> layers_;  // by norm
  std::map<std::string, bool> dropped_;
};

}  // namespace

absl::StatusOr<Graph> FoldNorms(const Graph& network,
                                std::vector<FoldedNorm>* folded) {
  return Folder(network, folded).Fold();
}

absl::Status FoldWeights(const FoldedNorm& folded, const FindVariable& find,
                         const Tensor& weight, const Tensor& bias) {
  const auto floats = [&](const std::string& node, const char* name) {
    const Tensor* tensor = find(absl::StrCat(node, "/", name));
    return tensor == nullptr ? nullptr : tensor->floats();
  };
  const float* w = floats(folded.layer, "weight");
  const float* b = floats(folded.layer, "bias");  // null for none
  const float* scale = floats(folded.norm, "scale");
  const float* shift = floats(folded.norm, "shift");
  const float* mean = floats(folded.norm, "mean");
  const float* variance = floats(folded.norm, "variance");
  if (w == nullptr || scale == nullptr || shift == nullptr || mean == nullptr ||
      variance == nullptr) {
    return absl::InternalError(
        absl::StrCat("\"", folded.norm, "\" lacks a variable"));
  }
  const int64_t units = bias.elements();
  const int64_t each = weight.elements() / units;
  for (int64_t u = 0; u < units; ++u) {
    const double factor =
        scale[u] / std::sqrt(double{variance[u]} + folded.epsilon);
    for (int64_t i = 0; i < each; ++i) {
      const int64_t at = folded.filters_first ? u * each + i : i * units + u;
      weight.floats()[at] = static_cast<float>(w[at] * factor);
    }
    const double before = b == nullptr ? 0 : b[u];
    bias.floats()[u] =
        static_cast<float>((before - mean[u]) * factor + shift[u]);
  }
  return absl::OkStatus();
}

}  // namespace tamer
