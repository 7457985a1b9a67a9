#ifndef TAMER_CORE_DATA_READERS_H_
#define TAMER_CORE_DATA_READERS_H_

#include <cstdio>
#include <memory>
#include <string>

#include "core/data/dataset.h"

// One reader a format; each fills a Dataset from files of unknown worth.
// `limit` 0 means all. Paths are ready to open.

namespace tamer {

absl::Status ReadIdx(const std::string& images, const std::string& labels,
                     int64_t limit, Dataset* data);
absl::Status ReadCsv(const std::string& path, const CsvSource& source,
                     int64_t limit, Dataset* data);
absl::Status ReadNpy(const std::string& features, const std::string& labels,
                     int64_t limit, Dataset* data);

// "PATH: no such file", and for a known data set the command that brings it.
absl::Status CannotOpen(const std::string& path);

// An error if `path` is no plain file that can be opened.
absl::Status CheckFile(const std::string& path);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_READERS_H_
