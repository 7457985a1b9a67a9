#ifndef TAMER_CORE_DATA_WRITE_H_
#define TAMER_CORE_DATA_WRITE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/data/dataset.h"

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

// Samples, labels and lengths as PREFIX-features.npy, PREFIX-labels.npy and
// PREFIX-lengths.npy, in the type that they have in memory; the result reads
// them back. Names of classes and pieces of tokens are left out.
absl::StatusOr<DataSource> WriteDataset(const std::string& prefix,
                                        const Dataset& data);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_WRITE_H_
