#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/sampling/language.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

struct Options {
  std::string product;
  std::string prompt = "\n";
  int64_t length = 500;
  SamplingOptions sampling;
  bool no_cache = false;
  int threads = 1;
  bool json = false;
};

absl::Status Complete(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(auto product, OpenProduct(options.product, registry));
  ThreadOptions threads;
  threads.intra_op = options.threads;
  Scheduler scheduler(threads);
  TAMER_ASSIGN_OR_RETURN(const Graph network, LanguageNetwork(*product));
  TAMER_ASSIGN_OR_RETURN(auto model,
                         LanguageModel::Make(network, &product->variables,
                                             !options.no_cache, &scheduler));
  if (model->vocabulary() != 256) {
    return Invalid("the network's vocabulary is ", model->vocabulary(),
                   "; only bytes, 256, can be completed");
  }
  if (options.prompt.empty()) return Invalid("--prompt is empty");
  std::vector<int32_t> prompt;
  for (char c : options.prompt) prompt.push_back(static_cast<uint8_t>(c));
  const auto began = std::chrono::steady_clock::now();
  TAMER_ASSIGN_OR_RETURN(
      const std::vector<int32_t> tokens,
      Continue(prompt, options.length, options.sampling, model.get()));
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - began;
  std::string text;
  for (int32_t token : tokens) text.push_back(static_cast<char>(token));
  if (!options.json) {
    std::printf("%s%s\n", options.prompt.c_str(), text.c_str());
    return absl::OkStatus();
  }
  nlohmann::ordered_json json = {{"prompt", options.prompt},
                                 {"text", text},
                                 {"tokens", tokens.size()},
                                 {"cached", model->cached()},
                                 {"seconds", seconds.count()}};
  // Bytes need not be UTF-8.
  std::printf(
      "%s\n",
      json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
          .c_str());
  return absl::OkStatus();
}

}  // namespace

void AddComplete(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "complete", "Let a language model go on with a text.");
  command->add_option("product", options->product, "A product or run.")
      ->required();
  command->add_option("--prompt", options->prompt,
                      "The text's beginning; a new line if not given.");
  command->add_option("--length", options->length, "Bytes to add.")
      ->check(CLI::Range(1, 10000000));
  command
      ->add_option("--temperature", options->sampling.temperature,
                   "Below 1: nearer to the likeliest; 0: it alone.")
      ->check(CLI::Range(0.0, 100.0));
  command
      ->add_option("--top-k", options->sampling.top_k,
                   "Only so many of the likeliest may come; 0: all.")
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("--seed", options->sampling.seed, "Of the choices.");
  command->add_flag("--no-cache", options->no_cache,
                    "Compute the whole context for every byte.");
  command->add_option("--threads", options->threads, "0 for all cores.")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer complete runs/char-lm --prompt 'In the beginning' "
      "--temperature 0.8 --top-k 20");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Complete(*options, *registry);
  });
}

}  // namespace tamer
