#include "core/graph/text.h"
#include "core/interchange/onnx.h"
#include "core/passes/passes.h"
#include "core/train/product.h"
#include "tools/cli/interchange.h"

namespace tamer {
namespace {

// How features were scaled, what classes are called, and the loss.
ManifestDef Carried(const Product& product) {
  ManifestDef carried;
  const FinetuneDef* finetune = product.finetune();
  if (finetune != nullptr) {
    FinetuneDef* own =
        carried.mutable_recipe()->add_stage()->mutable_finetune();
    *own->mutable_loss() = finetune->loss();
    own->set_target(finetune->target());
    *own->mutable_metric() = finetune->metric();
    if (finetune->has_prompt_end()) own->set_prompt_end(finetune->prompt_end());
  }
  carried.mutable_recipe()->mutable_data()->set_scale(product.data().scale());
  *carried.mutable_feature_mean() = product.manifest.feature_mean();
  *carried.mutable_feature_factor() = product.manifest.feature_factor();
  *carried.mutable_class_name() = product.manifest.class_name();
  if (product.manifest.has_pieces()) {
    carried.set_pieces(product.manifest.pieces());
  }
  return carried;
}

// The network up to `layer`, which may be pretrained only.
absl::StatusOr<Graph> UpTo(const Product& product, const std::string& layer) {
  Graph graph = product.network;
  graph.ClearOutputs();
  TAMER_RETURN_IF_ERROR(graph.AddOutput(layer));
  TAMER_ASSIGN_OR_RETURN(graph, Infer(graph));
  for (const std::string& name : product.untrained) {
    if (graph.FindValue(name) < 0) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(product.path, ": \"", name, "\" below \"", layer,
                     "\" is yet to be trained"));
  }
  return graph;
}

}  // namespace

absl::StatusOr<int> ExportOnnx(const std::string& path,
                               const std::string& layer,
                               const std::string& output,
                               const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const auto product, OpenProduct(path, registry));
  Graph graph(&registry);
  if (layer.empty()) {
    TAMER_ASSIGN_OR_RETURN(PredictionGraph prediction,
                           MakePredictionGraph(*product));
    graph = std::move(prediction.graph);
  } else {
    TAMER_ASSIGN_OR_RETURN(graph, UpTo(*product, layer));
  }
  ManifestDef carried = Carried(*product);
  // The loss is the whole network's.
  if (!layer.empty()) carried.mutable_recipe()->clear_stage();
  TAMER_RETURN_IF_ERROR(
      WriteOnnx(output, graph, product->variables,
                {{kManifestFact, PrintText(carried, registry)}}));
  return static_cast<int>(graph.nodes().size());
}

}  // namespace tamer
