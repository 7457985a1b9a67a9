#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "core/data/write.h"
#include "core/sampling/stack.h"
#include "core/train/evaluate.h"
#include "core/train/recipe.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/cli/sheet.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

struct Options {
  std::string product;
  std::string layer;
  std::string data;
  std::string split = "train";
  std::string output;
  std::string filters;
  int64_t count = 100;
  int threads = 0;
  bool json = false;
};

// What each unit of `top` looks for in the input: its weights, multiplied down
// through the layers below (exact for the first layer, linear above it).
absl::StatusOr<std::vector<float>> Filters(
    const Product& product, const std::vector<TwoWayLayer>& stack,
    int64_t count) {
  std::vector<float> filters;  // [count, width of the layer's input]
  for (size_t i = stack.size(); i-- > 0;) {
    const TwoWayLayer& layer = stack[i];
    const float* w = product.variables.Find(layer.node + "/weight")->floats();
    std::vector<float> below(count * layer.below, 0.0f);
    for (int64_t n = 0; n < count; ++n) {
      for (int64_t m = 0; m < layer.below; ++m) {
        const float* row = w + m * layer.units;
        float sum = 0;
        if (filters.empty()) {
          sum = row[n];
        } else {
          const float* above = &filters[n * layer.units];
          for (int64_t j = 0; j < layer.units; ++j) sum += row[j] * above[j];
        }
        below[n * layer.below + m] = sum;
      }
    }
    filters = std::move(below);
  }
  return filters;
}

absl::Status WriteFilters(const Options& options, const Product& product) {
  TAMER_ASSIGN_OR_RETURN(const std::vector<TwoWayLayer> stack,
                         FindChain(product, options.layer));
  const int64_t count = std::min(options.count, stack.back().units);
  TAMER_ASSIGN_OR_RETURN(const std::vector<float> filters,
                         Filters(product, stack, count));
  Sheet sheet;
  sheet.each_range = true;
  const Graph& network = product.network;
  ImageSize(network.value(network.inputs()[0]).type.shape, stack[0].below,
            &sheet);
  return WriteSheet(options.filters, sheet, filters, count);
}

absl::Status WriteFeatures(const Options& options, const OpRegistry& registry,
                           Product* product) {
  if (!absl::EndsWith(options.output, ".npy")) {
    return Invalid("--output ", options.output, ": must end in .npy");
  }
  TAMER_ASSIGN_OR_RETURN(const auto data, ProductData(*product, options.split,
                                                      options.data, registry));
  ThreadOptions threads;
  threads.intra_op = options.threads;
  Scheduler scheduler(threads);
  TAMER_ASSIGN_OR_RETURN(const auto features,
                         ComputeFeatures(product->network, options.layer, *data,
                                         product->ScalingFor(*data),
                                         &product->variables, &scheduler));
  if (features == nullptr) {
    return Invalid("the features take more than 4 GiB; give fewer samples by ",
                   "--data '… limit: N'");
  }
  return WriteNpy(options.output, features->floats.data(), features->size,
                  features->sample_elements());
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  if (options.output.empty() && options.filters.empty()) {
    return Invalid(
        "say what to write: --output FILE.npy or --filters FILE.png");
  }
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  if (product->network.FindNode(options.layer) < 0) {
    return Invalid(product->path, ": there is no layer \"", options.layer,
                   "\"");
  }
  nlohmann::ordered_json json;
  json["layer"] = options.layer;
  if (!options.filters.empty()) {
    TAMER_RETURN_IF_ERROR(WriteFilters(options, *product));
    json["filters"] = options.filters;
  }
  if (!options.output.empty()) {
    TAMER_RETURN_IF_ERROR(WriteFeatures(options, registry, product.get()));
    json["output"] = options.output;
  }
  if (options.json) {
    std::printf("%s\n", json.dump(2).c_str());
    return absl::OkStatus();
  }
  for (const std::string& file : {options.output, options.filters}) {
    if (!file.empty()) std::printf("written: %s\n", file.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddFeatures(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "features",
      "Write what a layer makes of data, or what its units look for.");
  command->add_option("product", options->product, "A product or run.")
      ->required();
  command->add_option("--layer", options->layer, "The layer.")->required();
  command->add_option("--output", options->output,
                      "Activations, a row a sample (.npy).");
  command->add_option("--filters", options->filters,
                      "A sheet of the units' filters (.png).");
  command->add_option("--split", options->split, "train, validation or test.")
      ->check(CLI::IsMember({"train", "validation", "test"}));
  command->add_option(
      "--data", options->data,
      "Other data, as in a recipe: 'npy { features: \"x.npy\" }'.");
  command->add_option("--count", options->count, "Filters in the sheet.")
      ->check(CLI::Range(1, 100000));
  command->add_option("--threads", options->threads, "0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer features runs/mnist-dbn/features --layer h1 --filters "
      "h1.png --split test --output h1.npy");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
