#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/interchange/onnx.h"
#include "core/interchange/torch.h"
#include "core/passes/copy.h"
#include "core/train/files.h"
#include "core/train/products.h"
#include "tools/cli/interchange.h"

namespace tamer {
namespace {

constexpr char kStage[] = "imported";

// If the network answers with a link function, makes what that sees its output
// and returns the loss that belongs to it; else "".
absl::StatusOr<std::string> TakeLink(Graph* network) {
  if (network->outputs().size() != 1) return "";
  const NodeId id = network->value(network->outputs()[0]).node;
  if (id < 0) return "";
  const Node& node = network->node(id);
  const std::string op = node.op->name();
  if (op != "Softmax" && op != "Sigmoid") return "";
  std::vector<std::string> outputs;
  TAMER_ASSIGN_OR_RETURN(
      Graph before, CopyNeeded(*network, {network->value(node.inputs[0]).name},
                               CopyOptions(), &outputs));
  TAMER_RETURN_IF_ERROR(before.AddOutput(outputs[0]));
  *network = std::move(before);
  return op == "Softmax" ? "SoftmaxCrossEntropy" : "SigmoidCrossEntropy";
}

absl::Status SetLoss(const std::string& name, const OpRegistry& registry,
                     FinetuneDef* finetune) {
  const Op* op = registry.Find(name);
  if (op == nullptr) {
    return Invalid("--loss: there is no op ", name,
                   DidYouMean(name, registry.Names()));
  }
  *finetune->mutable_loss() = PackOp(*op->NewParams());
  return absl::OkStatus();
}

// The product's manifest: what the file carries of one, and the network.
absl::StatusOr<ManifestDef> MakeManifest(const ImportOptions& options,
                                         const OpRegistry& registry,
                                         OnnxModel* model) {
  ManifestDef manifest;
  const auto carried = model->facts.find(kManifestFact);
  if (carried != model->facts.end()) {
    TAMER_RETURN_IF_ERROR(
        ParseText(carried->second, options.input, registry, &manifest));
  }
  TAMER_ASSIGN_OR_RETURN(const std::string link, TakeLink(&model->network));
  RecipeDef* recipe = manifest.mutable_recipe();
  recipe->set_name(model->network.name());
  const bool known = recipe->stage_size() == 1;
  StageDef* stage = known ? recipe->mutable_stage(0) : recipe->add_stage();
  stage->set_name(kStage);
  FinetuneDef* finetune = stage->mutable_finetune();
  if (!options.loss.empty() || !known) {
    const std::string loss = !options.loss.empty() ? options.loss
                             : !link.empty()       ? link
                                                   : "MeanSquaredError";
    TAMER_RETURN_IF_ERROR(SetLoss(loss, registry, finetune));
  }
  finetune->set_output(model->network.value(model->network.outputs()[0]).name);
  *manifest.mutable_graph() = model->network.ToDef();
  manifest.set_stage(kStage);
  return manifest;
}

void Tell(const ImportOptions& options, const Graph& network,
          const std::string& product, const std::string& loss) {
  const int nodes = static_cast<int>(network.nodes().size());
  const int parameters = static_cast<int>(network.variables().size());
  if (options.json) {
    std::printf("%s\n",
                nlohmann::ordered_json(
                    {{"network", JoinPath(options.folder, "network.pbtxt")},
                     {"product", product},
                     {"nodes", nodes},
                     {"parameters", parameters},
                     {"loss", loss}})
                    .dump(2)
                    .c_str());
    return;
  }
  std::printf(
      "%d nodes, %d parameters, loss %s\nnetwork: %s\nproduct: %s\n"
      "to train on, in a recipe: graph_file: \"network.pbtxt\", and in its "
      "first stage load { product: \"%s\" }\n",
      nodes, parameters, loss.c_str(),
      JoinPath(options.folder, "network.pbtxt").c_str(), product.c_str(),
      product.substr(product.rfind('/') + 1).c_str());
}

// Writes network and product.
absl::Status SaveImported(const ImportOptions& options,
                          const OpRegistry& registry, OnnxModel* model) {
  TAMER_ASSIGN_OR_RETURN(const ManifestDef manifest,
                         MakeManifest(options, registry, model));
  std::map<std::string, Tensor> tensors;
  for (ValueId id : model->network.variables()) {
    const std::string& name = model->network.value(id).name;
    const Tensor* tensor = model->variables.Find(name);
    if (tensor != nullptr) tensors[name] = *tensor;
  }
  TAMER_RETURN_IF_ERROR(MakeFolder(options.folder));
  TAMER_RETURN_IF_ERROR(ReplaceFile(JoinPath(options.folder, "network.pbtxt"),
                                    PrintGraph(model->network)));
  TAMER_ASSIGN_OR_RETURN(const ProductInfo saved,
                         SaveProduct(options.folder, manifest, tensors, {}));
  Tell(options, model->network, saved.path,
       manifest.recipe().stage(0).finetune().loss().type_url().substr(3));
  return absl::OkStatus();
}

}  // namespace

absl::Status ImportOnnx(const ImportOptions& options,
                        const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(OnnxModel model, ReadOnnx(options.input, registry));
  return SaveImported(options, registry, &model);
}

absl::Status ImportTensors(const ImportOptions& options,
                           const OpRegistry& registry) {
  if (options.network.empty()) {
    return Invalid("safetensors hold no network; name its file by --network");
  }
  OnnxModel model(&registry);
  TAMER_ASSIGN_OR_RETURN(model.network, LoadGraph(options.network, &registry));
  NameMap names;
  if (!options.names.empty()) {
    TAMER_ASSIGN_OR_RETURN(names, ReadNameMap(options.names));
  }
  TAMER_ASSIGN_OR_RETURN(const TensorFile file, ReadTensors(options.input));
  TAMER_RETURN_IF_ERROR(Annotate(FromFile(model.network, file.tensors, names,
                                          options.torch, &model.variables),
                                 options.input));
  return SaveImported(options, registry, &model);
}

}  // namespace tamer
