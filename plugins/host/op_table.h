#ifndef TAMER_PLUGINS_HOST_OP_TABLE_H_
#define TAMER_PLUGINS_HOST_OP_TABLE_H_

#include <memory>
#include <string>
#include <vector>

#include "core/op/registry.h"
#include "plugins/host/kernel.h"
#include "plugins/host/schema.h"

// What the op of a plugin and the op of its gradient share.

namespace tamer {

// A host field of the op's schema: whether a node is for prediction.
inline constexpr char kInferenceField[] = "tamer_inference";

// A TamerOp that passed the checks.
struct OpTable {
  std::string plugin;
  std::string site;
  TamerOp op;
  std::shared_ptr<const Schema> schema;
  const OpRegistry* registry = nullptr;

  bool Has(uint32_t flag) const { return (op.flags & flag) != 0; }
  bool InferenceOf(const OpParams& params) const {
    return Has(TAMER_OP_DIFFERS_AT_INFERENCE) &&
           params.GetReflection()->GetBool(
               params,
               params.GetDescriptor()->FindFieldByName(kInferenceField));
  }
};

// The op NAMEGradient, which runs the table's `backward`.
absl::StatusOr<std::unique_ptr<Op>> MakeGradientOp(
    std::shared_ptr<const OpTable> table);

// Emits it for a node whose first `inputs` inputs are no variables, `inference`
// being what the op's shape rule says of the node.
absl::Status EmitGradientOp(const OpTable& table, const Op& gradient,
                            size_t inputs, const Inference& inference,
                            GradientBuilder& builder);

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_OP_TABLE_H_
