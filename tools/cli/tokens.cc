#include "core/data/tokens.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/graph/text.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string output;
  int64_t vocabulary = 1000;
  bool json = false;
};

absl::Status Run(const Options& options) {
  TAMER_ASSIGN_OR_RETURN(const std::string model,
                         TrainPieces(options.files, options.vocabulary));
  TAMER_RETURN_IF_ERROR(ReplaceFile(options.output, model));
  // What it makes of its own text.
  TAMER_ASSIGN_OR_RETURN(const auto tokens, MakeTokens(model));
  int64_t bytes = 0;
  std::vector<int32_t> ids;
  for (const std::string& file : options.files) {
    TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    bytes += static_cast<int64_t>(text.size());
    TAMER_RETURN_IF_ERROR(tokens->Encode(text, 0, &ids));
  }
  const double each =
      static_cast<double>(bytes) / static_cast<double>(ids.size());
  if (options.json) {
    nlohmann::ordered_json json = {{"file", options.output},
                                   {"vocabulary", tokens->vocabulary()},
                                   {"bytes", bytes},
                                   {"tokens", ids.size()},
                                   {"bytes_per_token", each}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf(
        "%s: %d pieces; %s bytes of text are %s tokens, %.2f bytes each\n",
        options.output.c_str(), tokens->vocabulary(), WithCommas(bytes).c_str(),
        WithCommas(static_cast<int64_t>(ids.size())).c_str(), each);
  }
  return absl::OkStatus();
}

}  // namespace

void AddTokens(CLI::App* app, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "tokens",
      "Learn a vocabulary of byte pairs from text, for text sources.");
  command->add_option("text", options->files, "Files of UTF-8 text.")
      ->required();
  command
      ->add_option("--vocabulary", options->vocabulary,
                   "How many pieces; 256 of them are the bytes.")
      ->check(CLI::Range(258, 1 << 20));
  command
      ->add_option("--output", options->output,
                   "Where to: a model of SentencePiece.")
      ->required();
  command->add_flag("--json", options->json, "Print the result as JSON.");
  command->footer(
      "Example: tamer tokens train.txt --vocabulary 1000 --output train.model");
  command->callback([options, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options);
  });
}

}  // namespace tamer
