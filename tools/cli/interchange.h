#ifndef TAMER_TOOLS_CLI_INTERCHANGE_H_
#define TAMER_TOOLS_CLI_INTERCHANGE_H_

#include <string>

#include "core/op/registry.h"

namespace tamer {

// Writes the network of the product or run `path` as ONNX: what `predict`
// answers with, or from the input up to the value `layer` if that is not "".
// Its input is what the network reads, features scaled; how, and what classes
// are called, is told beside it. Returns the number of its nodes.
absl::StatusOr<int> ExportOnnx(const std::string& path,
                               const std::string& layer,
                               const std::string& output,
                               const OpRegistry& registry);

// Reads an ONNX model and writes to `folder` its network, network.pbtxt, and a
// product of a stage "imported", which can be used and fine-tuned like others.
// A link function at its end (softmax, the logistic function) is left to the
// loss, which is `loss`, an op's name, or "" for what belongs to the link.
struct ImportOptions {
  std::string input, folder, loss;
  std::string network, names;  // for safetensors
  bool onnx = false, torch = false, json = false;
};
absl::Status ImportOnnx(const ImportOptions& options,
                        const OpRegistry& registry);

// The same of parameters alone, safetensors of the network file
// `options.network`, by the names of `options.names` and, if asked, in
// PyTorch's layouts.
absl::Status ImportTensors(const ImportOptions& options,
                           const OpRegistry& registry);

// The part of a product's manifest that an ONNX file carries, under this name.
inline constexpr char kManifestFact[] = "tamer.manifest";

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_INTERCHANGE_H_
