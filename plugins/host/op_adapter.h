#ifndef TAMER_PLUGINS_HOST_OP_ADAPTER_H_
#define TAMER_PLUGINS_HOST_OP_ADAPTER_H_

#include <memory>
#include <string>
#include <vector>

#include "core/op/registry.h"
#include "plugins/tamer_plugin.h"

// A plugin's tables as ops of the registry. Each Make… checks the table; the
// error tells the rule that is broken, without the plugin's or the op's name.
// `plugin` is the library's name for messages; `registry` must outlive the op.

namespace tamer {

// The op, and if it has a `backward` the op NAMEGradient that computes it.
absl::StatusOr<std::vector<std::unique_ptr<Op>>> MakeOps(
    const std::string& plugin, const TamerOp* table,
    const OpRegistry* registry);

// A loss: outputs the loss and its gradient at the prediction. A metric: the
// first alone.
absl::StatusOr<std::unique_ptr<Op>> MakeLoss(const std::string& plugin,
                                             const TamerLoss* table,
                                             bool metric);

absl::StatusOr<std::unique_ptr<Op>> MakeUpdateRule(
    const std::string& plugin, const TamerUpdateRule* table);

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_OP_ADAPTER_H_
