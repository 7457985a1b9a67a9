#ifndef TAMER_CORE_DATA_READERS_H_
#define TAMER_CORE_DATA_READERS_H_

#include <cstdio>
#include <memory>
#include <string>

#include "core/data/dataset.h"

// One reader a format; each fills a Dataset from files of unknown worth.
// `limit` 0 means all. Paths are ready to open, or start from a `folder`.

namespace tamer {

absl::Status ReadIdx(const std::string& images, const std::string& labels,
                     int64_t limit, Dataset* data);
absl::Status ReadCsv(const std::string& path, const CsvSource& source,
                     int64_t limit, Dataset* data);
absl::Status ReadNpy(const NpySource& source, const std::string& folder,
                     int64_t limit, Dataset* data);
absl::Status ReadText(const TextSource& source, const std::string& folder,
                      int64_t limit, Dataset* data);

// `path`, from `folder` if it is relative.
std::string InFolder(const std::string& folder, const std::string& path);

// "PATH: no such file", and for a known data set the command that brings it.
absl::Status CannotOpen(const std::string& path);

// Names of the folders in `path`, or else of the files, sorted by bytes; those
// that begin with a dot are hidden.
absl::StatusOr<std::vector<std::string>> SortedNames(const std::string& path,
                                                    bool folders);

// An error if `path` is no plain file that can be opened.
absl::Status CheckFile(const std::string& path);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_READERS_H_
