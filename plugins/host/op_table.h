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

// A host field of both schemas: whether a node is for prediction.
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

// The C view of what a kernel is made for.
class SpecView {
 public:
  SpecView(const OpTable& table, const OpParams& params,
           const std::vector<TensorType>& inputs,
           const std::vector<TensorType>& variables,
           const std::vector<TensorType>& outputs, const KernelSpec& from)
      : inputs_(inputs),
        variables_(variables),
        outputs_(outputs),
        params_{table.schema.get(), &params, ""},
        spec_(Make<TamerKernelSpec>()) {
    spec_.params = &params_;
    spec_.inputs = inputs_.data();
    spec_.variables = variables_.data();
    spec_.outputs = outputs_.data();
    spec_.num_inputs = static_cast<uint32_t>(inputs_.size());
    spec_.num_variables = static_cast<uint32_t>(variables_.size());
    spec_.num_outputs = static_cast<uint32_t>(outputs_.size());
    spec_.batch = from.batch;
    spec_.stream_key = from.stream_key;
    spec_.node = from.node.c_str();
  }
  TamerKernelSpec& operator*() { return spec_; }

 private:
  Views inputs_, variables_, outputs_;
  TamerParams params_;
  TamerKernelSpec spec_;
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
