#include <algorithm>
#include <cmath>
#include <map>

#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/quantized.pb.h"

namespace tamer {
namespace {

// With fewer, turning the input into bytes costs what the product gains.
constexpr int64_t kFewestWeights = int64_t{1} << 12;
// More products than QuantizedDense can add up in 32 bits.
constexpr int64_t kMostInputs = 65793;
// What is smaller is taken for zero, so that the product of an input's and a
// weight's scale is an ordinary number.
constexpr float kSmallestInputScale = 1e-15f, kSmallestWeight = 1e-20f;

bool IsWorthwhile(const Graph& network, const Node& node) {
  if (node.params->GetDescriptor() != op::Dense::descriptor()) return false;
  const int64_t in = network.value(node.inputs[0]).type.shape.back();
  const int64_t units = static_cast<const op::Dense&>(*node.params).units();
  return in <= kMostInputs && in * units >= kFewestWeights;
}

// The node whose variables `node` uses: itself, or the one it shares with.
NodeId OwnerOf(const Graph& network, const Node& node) {
  return network.value(node.variables[0]).node;
}

absl::StatusOr<op::QuantizedDense> Quantized(const op::Dense& dense,
                                             const InputRange& range) {
  // Zero is one of the steps: what is nothing stays nothing.
  const double low = std::min(range.low, 0.0f);
  const double high = std::max(range.high, 0.0f);
  if (!std::isfinite(range.low) || !std::isfinite(range.high)) {
    return Invalid("its input reached from ", range.low, " to ", range.high,
                   "; data and parameters must be finite numbers");
  }
  auto scale = static_cast<float>((high - low) / 255);
  if (scale < kSmallestInputScale) scale = 1;
  op::QuantizedDense quantized;
  quantized.set_units(dense.units());
  quantized.set_activation(dense.activation());
  quantized.set_bias(dense.bias());
  quantized.set_slope(dense.slope());
  quantized.set_input_scale(scale);
  quantized.set_input_zero_point(
      static_cast<int32_t>(std::min(255.0, std::nearbyint(-low / scale))));
  return quantized;
}

}  // namespace

std::vector<std::string> Quantizable(const Graph& network) {
  // By owner: whether somebody needs its variables as they are, or its second
  // output, which QuantizedDense doesn't have.
  std::vector<bool> stays(network.nodes().size(), false);
  const auto read = [&](ValueId id) {
    const Value& value = network.value(id);
    if (value.kind == Value::kVariable) stays[value.node] = true;
    if (value.kind == Value::kOutput && value.index > 0) {
      const Node& node = network.node(value.node);
      if (!node.variables.empty()) stays[OwnerOf(network, node)] = true;
    }
  };
  for (ValueId id : network.outputs()) read(id);
  for (const Node& node : network.nodes()) {
    for (ValueId id : node.inputs) read(id);
    if (IsWorthwhile(network, node)) continue;
    for (ValueId id : node.variables) read(id);
  }
  std::vector<std::string> names;
  for (const Node& node : network.nodes()) {
    if (IsWorthwhile(network, node) && !stays[OwnerOf(network, node)]) {
      names.push_back(node.name);
    }
  }
  return names;
}

absl::StatusOr<Graph> Quantize(
    const Graph& network, const std::map<std::string, InputRange>& ranges) {
  Graph result(&network.registry());
  result.set_name(network.name());
  for (ValueId id : network.inputs()) {
    const Value& value = network.value(id);
    TAMER_RETURN_IF_ERROR(result.AddInput(value.name, value.type).status());
  }
  for (const Node& node : network.nodes()) {
    std::vector<std::string> inputs;
    for (ValueId id : node.inputs) inputs.push_back(network.value(id).name);
    const auto range = ranges.find(node.name);
    op::QuantizedDense quantized;
    if (range != ranges.end()) {
      auto params =
          Quantized(static_cast<const op::Dense&>(*node.params), range->second);
      if (!params.ok()) {
        return Annotate(params.status(),
                        absl::StrCat("node \"", node.name, "\""));
      }
      quantized = *std::move(params);
    }
    const OpParams& params = range == ranges.end() ? *node.params : quantized;
    TAMER_RETURN_IF_ERROR(
        result
            .AddNode(node.name, params, inputs, node.share_with, node.location)
            .status());
  }
  for (const std::string& output : OutputNames(network)) {
    TAMER_RETURN_IF_ERROR(result.AddOutput(output));
  }
  return result;
}

absl::Status QuantizeWeight(const Tensor& weight, const Tensor& quantized,
                            const Tensor& scales) {
  const int64_t rows = weight.shape.rows(), units = weight.shape.back();
  std::fill_n(scales.floats(), units, 0.0f);
  for (int64_t i = 0; i < rows * units; ++i) {
    const float size = std::fabs(weight.floats()[i]);
    if (!std::isfinite(size)) {
      return Invalid("a weight is ", weight.floats()[i],
                     "; train without divergence first");
    }
    float& largest = scales.floats()[i % units];
    largest = std::max(largest, size);
  }
  for (int64_t j = 0; j < units; ++j) {
    float& scale = scales.floats()[j];
    scale = scale < kSmallestWeight ? 1 : scale / 127;
  }
  for (int64_t i = 0; i < rows * units; ++i) {
    const float steps = weight.floats()[i] / scales.floats()[i % units];
    quantized.int8s()[i] = static_cast<int8_t>(
        std::nearbyint(std::min(127.0f, std::max(-127.0f, steps))));
  }
  return absl::OkStatus();
}

}  // namespace tamer
