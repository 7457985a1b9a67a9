#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/sampling/partition.h"
#include "core/train/evaluate.h"
#include "core/train/recipe.h"
#include "proto/ops/pretrain.pb.h"
#include "proto/ops/shape.pb.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

struct Options {
  std::string product;
  std::string layer;
  PartitionOptions partition;
  int threads = 0;
  bool json = false;
};

// The data as the layer sees it.
absl::StatusOr<std::shared_ptr<const Dataset>> Below(
    const Dataset& data, const std::vector<TwoWayLayer>& stack,
    Product* product, Scheduler* scheduler) {
  const Graph& network = product->network;
  const std::string value = stack.size() > 1
                                ? stack[stack.size() - 2].node
                                : network.value(network.inputs()[0]).name;
  TAMER_ASSIGN_OR_RETURN(
      auto features,
      ComputeFeatures(network, value, data, product->ScalingFor(data),
                      &product->variables, scheduler));
  if (features == nullptr) return Invalid("the data are too large");
  return features;
}

std::vector<float> MeanLogits(const Dataset& data) {
  const int64_t width = data.sample_elements();
  std::vector<double> sums(width, 0);
  for (size_t i = 0; i < data.floats.size(); ++i) {
    sums[i % width] += data.floats[i];
  }
  std::vector<float> logits(width);
  for (int64_t i = 0; i < width; ++i) {
    const double p = (sums[i] + 0.05 * data.size) / (1.1 * data.size);
    logits[i] = static_cast<float>(std::log(p / (1 - p)));
  }
  return logits;
}

// Mean of log p*(v), the probability before division by Z.
absl::StatusOr<double> MeanLogWeight(const Dataset& data,
                                     const TwoWayLayer& layer, Product* product,
                                     Scheduler* scheduler) {
  StackGraph graph(&product->network.registry());
  TAMER_RETURN_IF_ERROR(
      graph.graph()
          .AddInput("v", {DType::kFloat, Shape({-1, layer.below})})
          .status());
  const std::string x = graph.Up("x", layer, "v", /*linear=*/true);
  op::Parameter bias;
  bias.add_shape(layer.below);
  const std::string c = graph.Add(layer.node + "/visible_bias", bias, {});
  graph.Add("energy", op::FreeEnergy(), {"v", x, c});
  TAMER_RETURN_IF_ERROR(graph.status());
  TAMER_RETURN_IF_ERROR(graph.graph().AddOutput("energy"));
  double sum = 0;
  TAMER_RETURN_IF_ERROR(ForEachOutput(
      graph.graph(), "energy", data, FeatureScaling(), &product->variables,
      scheduler, [&](const Tensor& energies, const Batch& batch) {
        for (int64_t i = 0; i < batch.size; ++i) sum -= energies.floats()[i];
      }));
  return sum / static_cast<double>(data.size);
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  TAMER_ASSIGN_OR_RETURN(const std::vector<TwoWayLayer> stack,
                         FindStack(*product, options.layer));
  const TwoWayLayer& layer = stack.back();
  ThreadOptions threads;
  threads.intra_op = options.threads;
  Scheduler scheduler(threads);
  Recipe recipe{product->manifest.recipe(), product->path, product->folder};
  TAMER_ASSIGN_OR_RETURN(const TrainingData data,
                         LoadStageData(recipe, product->stage(), &registry));
  TAMER_ASSIGN_OR_RETURN(const auto train,
                         Below(*data.train, stack, product.get(), &scheduler));
  TAMER_ASSIGN_OR_RETURN(
      const LogPartition z,
      EstimateLogPartition(*product, layer, MeanLogits(*train),
                           options.partition, &product->variables, &scheduler));
  nlohmann::ordered_json json;
  json["layer"] = layer.node;
  json["log_partition"] = z.value;
  json["log_partition_low"] = z.low;
  json["log_partition_high"] = z.high;
  TAMER_ASSIGN_OR_RETURN(
      const double train_weight,
      MeanLogWeight(*train, layer, product.get(), &scheduler));
  json["train_log_probability"] = train_weight - z.value;
  if (data.test != nullptr) {
    TAMER_ASSIGN_OR_RETURN(const auto test,
                           Below(*data.test, stack, product.get(), &scheduler));
    TAMER_ASSIGN_OR_RETURN(
        const double weight,
        MeanLogWeight(*test, layer, product.get(), &scheduler));
    json["test_log_probability"] = weight - z.value;
  }
  if (options.json) {
    std::printf("%s\n", json.dump(2).c_str());
    return absl::OkStatus();
  }
  for (const auto& item : json.items()) {
    std::printf("%-22s %s\n", item.key().c_str(),
                item.value().is_number()
                    ? NumberText(item.value().get<double>()).c_str()
                    : item.value().get<std::string>().c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddLikelihood(CLI::App* app, const OpRegistry* registry,
                   Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "likelihood",
      "Estimate an RBM's partition function and log-probability of its data.");
  command->add_option("product", options->product, "A product or run.")
      ->required();
  command->add_option("--layer", options->layer,
                      "The layer; the topmost pretrained one.");
  command->add_option("--chains", options->partition.chains, "Of annealing.")
      ->check(CLI::Range(2, 100000));
  command
      ->add_option("--temperatures", options->partition.temperatures,
                   "Steps from no weights to all.")
      ->check(CLI::Range(2, 10000000));
  command->add_option("--seed", options->partition.seed, "Of the chains.");
  command->add_option("--threads", options->threads, "0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Natural logarithms; annealed importance sampling (Salakhutdinov and "
      "Murray 2008), low and high being three standard deviations off.\n"
      "Example: tamer likelihood runs/mnist-dbn/features --layer h1");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
