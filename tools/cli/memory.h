#ifndef TAMER_TOOLS_CLI_MEMORY_H_
#define TAMER_TOOLS_CLI_MEMORY_H_

#include <nlohmann/json.hpp>

#include "tools/cli/source.h"

namespace tamer {

// What prediction and each stage (of pretraining each layer) of `named` takes,
// in bytes, a JSON object each: "stage", "batch", "planned_bytes" (the arena,
// buffers reused), "unplanned_bytes" (a buffer for each tensor),
// "recompute_bytes" (the arena if values are computed again, as the recipe says
// or by the pass's own choice; not for prediction), "recompute" (whether the
// recipe does so), "parameter_bytes", "state_bytes" (of the optimizer and of
// accumulation). Where a graph cannot be made without the data, "error"
// instead. `batch` 0: the recipe's.
nlohmann::ordered_json MemoryOf(const NamedNetwork& named, int64_t batch);

// The same as a table.
std::string MemoryTable(const nlohmann::ordered_json& rows);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_MEMORY_H_
