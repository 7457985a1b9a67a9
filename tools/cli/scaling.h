#ifndef TAMER_TOOLS_CLI_SCALING_H_
#define TAMER_TOOLS_CLI_SCALING_H_

#include <nlohmann/json.hpp>

#include "tools/cli/source.h"

namespace tamer {

// How training by many workers would scale, for each stage of a recipe: a step
// is measured here on one thread, averaging is computed from its bytes for
// links of 1, 10 and 100 Gb/s and up to 1,024 workers. `batch` 0: the recipe's.
absl::StatusOr<nlohmann::ordered_json> ScalingOf(const NamedNetwork& named,
                                                 int64_t batch);

// The same as tables.
std::string ScalingTable(const nlohmann::ordered_json& stages);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_SCALING_H_
