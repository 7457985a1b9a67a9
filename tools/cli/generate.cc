#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "core/data/write.h"
#include "core/sampling/chain.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/cli/sheet.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

struct Options {
  std::string product;
  std::string output;
  std::string start = "random";
  ChainOptions chain;
  int threads = 0;
  int columns = 10;
  bool json = false;
};

// The first training samples, scaled; an error if they are fewer.
absl::StatusOr<std::vector<float>> StartSamples(const Product& product,
                                                int64_t count,
                                                const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const auto data,
                         ProductData(product, "train", "", registry));
  if (data->size < count) {
    return Invalid("there are only ", data->size, " training samples");
  }
  const FeatureScaling scaling = product.ScalingFor(*data);
  const int64_t width = data->sample_elements();
  std::vector<float> samples(count * width);
  for (int64_t i = 0; i < count; ++i) {
    scaling.Apply(*data, i, &samples[i * width]);
  }
  return samples;
}

absl::Status Generate(const Options& options, const OpRegistry& registry) {
  const bool png = absl::EndsWith(options.output, ".png");
  if (!png && !absl::EndsWith(options.output, ".npy")) {
    return Invalid("--output ", options.output, ": must end in .png or .npy");
  }
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  ChainOptions chain = options.chain;
  std::vector<float> start;
  if (options.start == "data") {
    TAMER_ASSIGN_OR_RETURN(start,
                           StartSamples(*product, chain.samples, registry));
    chain.start = start.data();
  }
  ThreadOptions threads;
  threads.intra_op = options.threads;
  Scheduler scheduler(threads);
  TAMER_ASSIGN_OR_RETURN(const std::vector<float> samples,
                         RunChains(product.get(), chain, &scheduler));
  const int64_t width = static_cast<int64_t>(samples.size()) / chain.samples;
  if (png) {
    Sheet sheet;
    const Graph& network = product->network;
    ImageSize(network.value(network.inputs()[0]).type.shape, width, &sheet);
    sheet.columns = options.columns;
    TAMER_RETURN_IF_ERROR(
        WriteSheet(options.output, sheet, samples, chain.samples));
  } else {
    TAMER_RETURN_IF_ERROR(
        WriteNpy(options.output, samples.data(), chain.samples, width));
  }
  if (options.json) {
    nlohmann::ordered_json json;
    json["samples"] = chain.samples;
    json["width"] = width;
    json["output"] = options.output;
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%lld samples of %lld numbers, %lld steps each: %s\n",
                static_cast<long long>(chain.samples),
                static_cast<long long>(width),
                static_cast<long long>(chain.steps), options.output.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddGenerate(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "generate", "Let a pretrained net dream: Gibbs chains in its top layer.");
  command->add_option("product", options->product, "A product or run.")
      ->required();
  command
      ->add_option("--output", options->output,
                   "A sheet (.png) or numbers (.npy).")
      ->required();
  command->add_option("--layer", options->chain.layer,
                      "The layer that runs; the topmost pretrained one.");
  command->add_option("--samples", options->chain.samples, "How many chains.")
      ->check(CLI::Range(1, 100000));
  command->add_option("--steps", options->chain.steps, "Steps of each chain.")
      ->check(CLI::Range(1, 10000000));
  command->add_option("--seed", options->chain.seed, "Of the chains.");
  command
      ->add_option("--start", options->start,
                   "random, or data: the first training samples.")
      ->check(CLI::IsMember({"random", "data"}));
  command->add_option("--columns", options->columns, "Images in a row.")
      ->check(CLI::Range(1, 1000));
  command->add_option("--threads", options->threads, "0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer generate runs/mnist-dbn/features --steps 2000 "
      "--start data --output dreams.png");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Generate(*options, *registry);
  });
}

}  // namespace tamer
