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

// The part of a product's manifest that an ONNX file carries, under this name.
inline constexpr char kManifestFact[] = "tamer.manifest";

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_INTERCHANGE_H_
