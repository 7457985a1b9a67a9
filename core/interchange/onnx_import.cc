#include "core/interchange/onnx.h"
namespace tamer {
absl::StatusOr<OnnxModel> ReadOnnx(const std::string& path,
                                   const OpRegistry& registry) {
  return path.empty() ? Invalid(registry.Names().size()) : Invalid("todo");
}
}  // namespace tamer
