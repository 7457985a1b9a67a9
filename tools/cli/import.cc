#include <memory>

#include "absl/strings/match.h"
#include "tools/cli/commands.h"
#include "tools/cli/interchange.h"

namespace tamer {

void AddImport(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App* command = app->add_subcommand(
      "import",
      "Read a model of another framework: its network as text, and a product "
      "to predict with and to train on.");
  command->add_option("file", options->input, "FILE.onnx or FILE.safetensors.")
      ->required();
  command->add_option("folder", options->folder, "Where to write.")->required();
  command->add_flag("--onnx", options->onnx,
                    "The file is ONNX, whatever its name.");
  command->add_option("--network", options->network,
                      "The network whose parameters the safetensors are.");
  command->add_flag("--torch", options->torch,
                    "The safetensors have PyTorch's names and layouts.");
  command->add_option("--names", options->names,
                      "What the safetensors call them: a file of lines OURS "
                      "THEIRS, of nodes or parameters.");
  command->add_option("--loss", options->loss,
                      "The loss to evaluate and train with, an op's name; by "
                      "default what belongs to the model's last function.");
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Examples: tamer import digits.onnx digits\n"
      "          tamer predict digits/imported images.npy --output "
      "answers.csv");
  command->callback([options, registry, outcome] {
    if (!outcome->status.ok()) return;
    const bool tensors =
        !options->onnx && absl::EndsWith(options->input, ".safetensors");
    if (!tensors && (options->torch || !options->names.empty() ||
                     !options->network.empty())) {
      outcome->status =
          Invalid("--network, --torch and --names are for safetensors");
      return;
    }
    outcome->status = tensors ? ImportTensors(*options, *registry)
                              : ImportOnnx(*options, *registry);
  });
}

}  // namespace tamer
