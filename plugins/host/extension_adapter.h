#ifndef TAMER_PLUGINS_HOST_EXTENSION_ADAPTER_H_
#define TAMER_PLUGINS_HOST_EXTENSION_ADAPTER_H_

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/op/extension.h"
#include "plugins/tamer_plugin.h"

// A plugin's tables as the registry's extensions. The error tells the rule that
// is broken.

namespace tamer {

absl::StatusOr<std::unique_ptr<Extension>> MakeReader(const std::string& plugin,
                                                      const TamerReader* table);

absl::StatusOr<std::unique_ptr<Extension>> MakeCollective(
    const std::string& plugin, const TamerCollective* table);

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_EXTENSION_ADAPTER_H_
