#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "core/interchange/torch.h"
#include "core/train/evaluate.h"
#include "core/train/files.h"
#include "core/train/quantize.h"
#include "core/train/recipe.h"
#include "core/train/safetensors.h"
#include "tools/cli/commands.h"
#include "tools/cli/interchange.h"
#include "tools/cli/output.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string product;
  std::string output;
  bool int8 = false;
  bool onnx = false;
  std::string layer;
  bool torch = false;
  std::string names;
  std::string data;
  bool json = false;
};

using Tensors = std::map<std::string, Tensor>;

// Writes a product or its parameters alone, as the output's name asks, and
// returns what was written.
absl::StatusOr<std::string> Write(const std::string& output,
                                  const ManifestDef& manifest,
                                  const Tensors& tensors) {
  if (absl::EndsWith(output, ".safetensors")) {
    const std::string temporary = output + ".tmp";
    TAMER_RETURN_IF_ERROR(WriteTensors(temporary, tensors).status());
    TAMER_RETURN_IF_ERROR(RenameSynced(temporary, output));
    return output;
  }
  TAMER_RETURN_IF_ERROR(MakeFolder(output));
  TAMER_ASSIGN_OR_RETURN(const ProductInfo saved,
                         SaveProduct(output, manifest, tensors, {}));
  return saved.path;
}

void TellWritten(const Options& options, const std::string& written,
                 int parameters) {
  if (options.json) {
    std::printf("%s\n", Json({{"output", written}}).dump(2).c_str());
  } else {
    std::printf("%d parameters written: %s\n", parameters, written.c_str());
  }
}

absl::Status Export(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const ProductInfo info,
                         FindProductOrRun(options.product, registry));
  TAMER_ASSIGN_OR_RETURN(const LoadedProduct product, LoadProduct(info));
  ManifestDef manifest = product.info.manifest;
  manifest.clear_base_path();
  manifest.clear_adapter_scale();
  manifest.clear_state_sha256();
  TAMER_ASSIGN_OR_RETURN(const std::string written,
                         Write(options.output, manifest, product.tensors));
  TellWritten(options, written, static_cast<int>(product.tensors.size()));
  return absl::OkStatus();
}

// The data to calibrate on, and the recipe's test data if there are any.
struct Int8Data {
  std::shared_ptr<const Dataset> calibration, test;
};

absl::StatusOr<Int8Data> LoadInt8Data(const Options& options,
                                      const Product& product,
                                      const OpRegistry& registry) {
  const Recipe recipe{product.manifest.recipe(), product.path, product.folder};
  const auto own = LoadStageData(recipe, product.stage(), &registry);
  Int8Data data;
  if (own.ok()) {
    data.calibration = own->train;
    data.test = own->test;
  }
  if (!options.data.empty()) {
    TAMER_ASSIGN_OR_RETURN(
        data.calibration,
        ProductData(product, "train", options.data, registry));
  } else if (!own.ok()) {
    return absl::Status(
        own.status().code(),
        absl::StrCat("--int8 measures each layer's input on the training data, "
                     "which cannot be read; name other samples by --data: ",
                     own.status().message()));
  }
  return data;
}

// What is told of a product before and after: metrics on test data and bytes.
struct Account {
  MetricValues metrics;
  int64_t bytes = 0;
};

absl::StatusOr<Account> Measure(Product* product, const Dataset* test) {
  Account account;
  for (const auto& entry : product->variables.all()) {
    account.bytes += entry.second.bytes();
  }
  const FinetuneDef* finetune = product->finetune();
  if (finetune == nullptr || test == nullptr) return account;
  Scheduler scheduler{ThreadOptions()};
  TAMER_ASSIGN_OR_RETURN(
      const Evaluation evaluation,
      EvaluateOn(product->network, *finetune, *test, product->ScalingFor(*test),
                 &product->variables, &scheduler));
  account.metrics = evaluation.Values("test_");
  return account;
}

Json ToJson(const Account& account) {
  Json json;
  for (const auto& metric : account.metrics) json[metric.first] = metric.second;
  json["bytes"] = account.bytes;
  return json;
}

std::string ToText(const Account& account) {
  return absl::StrCat(MetricsText(account.metrics),
                      account.metrics.empty() ? "" : ", ",
                      BytesText(account.bytes));
}

absl::Status ExportInt8(const Options& options, const OpRegistry& registry) {
  // Beside the product it was made from, it would be taken for that one's newer
  // generation.
  if (Exists(JoinPath(options.output, "run.pbtxt"))) {
    return Invalid(options.output,
                   " is a run directory; export to a folder of its own");
  }
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  TAMER_ASSIGN_OR_RETURN(const Int8Data data,
                         LoadInt8Data(options, *product, registry));
  TAMER_ASSIGN_OR_RETURN(auto quantized,
                         QuantizeProduct(product.get(), *data.calibration));
  TAMER_ASSIGN_OR_RETURN(const Account before,
                         Measure(product.get(), data.test.get()));
  TAMER_ASSIGN_OR_RETURN(const Account after,
                         Measure(quantized.get(), data.test.get()));
  for (const auto& metric : after.metrics) {
    MetricDef* own = quantized->manifest.add_metric();
    own->set_name(metric.first);
    own->set_value(metric.second);
  }
  TAMER_ASSIGN_OR_RETURN(
      const std::string written,
      Write(options.output, quantized->manifest, quantized->variables.all()));
  if (options.json) {
    std::printf("%s\n", Json({{"output", written},
                              {"before", ToJson(before)},
                              {"after", ToJson(after)}})
                            .dump(2)
                            .c_str());
  } else {
    std::printf("before: %s\nint8:   %s\nwritten: %s\n", ToText(before).c_str(),
                ToText(after).c_str(), written.c_str());
  }
  return absl::OkStatus();
}

// The parameters of a product by other names.
absl::Status ExportNamed(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const auto product,
                         OpenProduct(options.product, registry));
  NameMap names;
  if (!options.names.empty()) {
    TAMER_ASSIGN_OR_RETURN(names, ReadNameMap(options.names));
  }
  TAMER_ASSIGN_OR_RETURN(
      const NamedTensors named,
      ToFile(product->network, product->variables, names, options.torch));
  TAMER_ASSIGN_OR_RETURN(
      const std::string written,
      Write(options.output, product->manifest, named.tensors));
  TellWritten(options, written, static_cast<int>(named.tensors.size()));
  return absl::OkStatus();
}

absl::Status ExportNetwork(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(
      const int nodes,
      ExportOnnx(options.product, options.layer, options.output, registry));
  if (options.json) {
    std::printf(
        "%s\n",
        Json({{"output", options.output}, {"nodes", nodes}}).dump(2).c_str());
  } else {
    std::printf("%d nodes written: %s\n", nodes, options.output.c_str());
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  if (options.onnx || absl::EndsWith(options.output, ".onnx")) {
    if (options.int8) {
      return Invalid("--int8 makes a product; export that as ONNX then");
    }
    return ExportNetwork(options, registry);
  }
  if (!options.layer.empty()) return Invalid("--layer is for ONNX");
  if (options.torch || !options.names.empty()) {
    if (!absl::EndsWith(options.output, ".safetensors")) {
      return Invalid("--torch and --names are for FILE.safetensors");
    }
    return ExportNamed(options, registry);
  }
  return options.int8 ? ExportInt8(options, registry)
                      : Export(options, registry);
}

}  // namespace

void AddExport(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "export",
      "Write a product that stands alone, its adapters merged, its parameters "
      "as safetensors, or its network as ONNX.");
  command->add_option("product", options->product, "A product or run.")
      ->required();
  command
      ->add_option("output", options->output,
                   "FILE.safetensors, FILE.onnx, or a folder for the product.")
      ->required();
  CLI::Option* int8 = command->add_flag(
      "--int8", options->int8,
      "In 8-bit integers: smaller and faster, for prediction alone. The range "
      "of each layer's input is measured on up to 1,000 training samples.");
  command
      ->add_option("--data", options->data,
                   "Other samples to measure on, as in a recipe: 'npy { "
                   "features: \"x.npy\" }'.")
      ->needs(int8);
  command->add_flag("--onnx", options->onnx,
                    "As ONNX, whatever the file's name: what `predict` "
                    "computes, from scaled features on.");
  command->add_option("--layer", options->layer,
                      "As ONNX, up to this node; as of a pretrained product.");
  command->add_flag("--torch", options->torch,
                    "As safetensors, with PyTorch's names and layouts.");
  command->add_option("--names", options->names,
                      "As safetensors, by the names in this file: lines OURS "
                      "THEIRS, of nodes or parameters.");
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Examples: tamer export runs/adapted merged\n"
      "          tamer export runs/mnist-dbn digits.safetensors --torch\n"
      "          tamer export runs/mnist-dbn digits.onnx\n"
      "          tamer export runs/mnist-dbn small --int8");
  command->callback([options, registry, outcome] {
    if (!outcome->status.ok()) return;
    outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
