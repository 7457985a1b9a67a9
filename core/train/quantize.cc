#include "core/train/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "core/data/loader.h"
#include "core/passes/passes.h"
#include "core/train/executor.h"
#include "proto/ops/quantized.pb.h"

namespace tamer {
namespace {

constexpr int64_t kSamples = 1000;
constexpr int64_t kBatch = 200;

using Ranges = std::map<std::string, InputRange>;

// Files are often sorted by label, so the samples come from all over it.
std::shared_ptr<const Dataset> SpreadSamples(const Dataset& data) {
  const int64_t count = std::min(kSamples, data.size);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(i * data.size / count);
  return Select(data, rows);
}

void Widen(const Tensor& seen, InputRange* range) {
  for (int64_t i = 0; i < seen.elements(); ++i) {
    const float x = seen.floats()[i];
    if (!std::isfinite(x)) {
      // Stays: what is compared with it is false.
      range->high = std::numeric_limits<float>::quiet_NaN();
      return;
    }
    range->low = std::min(range->low, x);
    range->high = std::max(range->high, x);
  }
}

// The ranges of the inputs of `nodes` on `data`.
absl::StatusOr<Ranges> Calibrate(const Graph& network,
                                 const std::vector<std::string>& nodes,
                                 const Dataset& data,
                                 const FeatureScaling& scaling,
                                 Variables* variables) {
  Graph watched = network;
  watched.ClearOutputs();
  const auto input_of = [&](const std::string& name) {
    const Node& node = network.node(network.FindNode(name));
    return network.value(node.inputs[0]).name;
  };
  for (const std::string& name : nodes) {
    TAMER_RETURN_IF_ERROR(watched.AddOutput(input_of(name)));
  }
  Scheduler scheduler{ThreadOptions()};
  const auto samples = SpreadSamples(data);
  ExecutorOptions options;
  options.batch = kBatch;
  TAMER_ASSIGN_OR_RETURN(
      auto executor,
      Executor::Make(watched, *samples, options, variables, &scheduler));
  LoaderOptions in_order;
  in_order.batch = kBatch;
  in_order.shuffle = false;
  Loader loader(samples, scaling, in_order);
  Ranges ranges;
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    TAMER_RETURN_IF_ERROR(executor->Run(loader.Next(), i));
    for (const std::string& name : nodes) {
      Widen(executor->Output(executor->FindOutput(input_of(name))),
            &ranges[name]);
    }
  }
  return ranges;
}

// Adds what `network`, the result of Quantize, needs, from the variables of the
// network before it.
absl::Status ConvertVariables(const Graph& network, const Variables& from,
                              Variables* to) {
  std::vector<std::pair<std::string, Tensor>> weights;
  for (ValueId id : network.variables()) {
    const Value& value = network.value(id);
    TAMER_ASSIGN_OR_RETURN(const Tensor own, to->Add(value.name, value.type));
    const Tensor* old = from.Find(value.name);
    if (value.type.dtype == DType::kInt8) {
      weights.emplace_back(value.name, own);
    } else if (old != nullptr) {
      std::memcpy(own.data, old->data, own.bytes());
    }
  }
  for (const auto& weight : weights) {
    const Tensor& scales = *to->Find(weight.first + "_scale");
    TAMER_RETURN_IF_ERROR(Annotate(
        QuantizeWeight(*from.Find(weight.first), weight.second, scales),
        absl::StrCat("parameter \"", weight.first, "\"")));
  }
  return absl::OkStatus();
}

ManifestDef ManifestOf(const Product& product, const Graph& network) {
  ManifestDef manifest = product.manifest;
  *manifest.mutable_graph() = network.ToDef();
  manifest.set_parent(manifest.stage());
  manifest.set_parent_id(product.id);
  manifest.clear_base_path();
  manifest.clear_adapter_scale();
  manifest.clear_state_sha256();
  manifest.clear_metric();
  for (const MetricDef& metric : product.manifest.metric()) {
    if (!absl::StartsWith(metric.name(), "test_")) {
      *manifest.add_metric() = metric;
    }
  }
  return manifest;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Product>> QuantizeProduct(Product* product,
                                                         const Dataset& data) {
  if (!product->untrained.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(product->path, ": \"", product->untrained[0],
                     "\" is yet to be trained by fine-tuning; quantize the "
                     "product of that"));
  }
  Graph network = product->network;
  // The recipe may look at a value that is no output.
  const FinetuneDef* finetune = product->finetune();
  if (finetune != nullptr && finetune->has_output()) {
    TAMER_RETURN_IF_ERROR(network.AddOutput(finetune->output()));
  }
  TAMER_ASSIGN_OR_RETURN(network, Infer(network));
  const std::vector<std::string> nodes = Quantizable(network);
  if (nodes.empty()) {
    return Invalid(product->path,
                   ": there is no Dense layer of 4,096 weights or more, so "
                   "8-bit integers gain nothing; export it without them");
  }
  TAMER_ASSIGN_OR_RETURN(
      const Ranges ranges,
      Calibrate(network, nodes, data, product->ScalingFor(data),
                &product->variables));
  auto quantized = std::make_unique<Product>(&product->network.registry());
  auto made = Quantize(network, ranges);
  if (!made.ok()) return Annotate(made.status(), product->path);
  quantized->network = *std::move(made);
  TAMER_RETURN_IF_ERROR(
      Annotate(ConvertVariables(quantized->network, product->variables,
                                &quantized->variables),
               product->path));
  quantized->manifest = ManifestOf(*product, quantized->network);
  quantized->folder = product->folder;
  return quantized;
}

bool IsQuantized(const ManifestDef& manifest) {
  const std::string type = "op/" + op::QuantizedDense::descriptor()->name();
  return std::any_of(
      manifest.graph().node().begin(), manifest.graph().node().end(),
      [&](const NodeDef& node) { return node.op().type_url() == type; });
}

}  // namespace tamer
