#ifndef TAMER_CORE_DATA_WRITE_H_
#define TAMER_CORE_DATA_WRITE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

// Results as files. Each appears whole under its name or not at all.

namespace tamer {

// A [rows, columns] array of float32.
absl::Status WriteNpy(const std::string& path, const float* values,
                      int64_t rows, int64_t columns);

// The same as text under a line of `header`, numbers as short as they can be
// and still be read back exactly.
absl::Status WriteCsv(const std::string& path,
                      const std::vector<std::string>& header,
                      const float* values, int64_t rows, int64_t columns);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_WRITE_H_
