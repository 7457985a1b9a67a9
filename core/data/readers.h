#ifndef TAMER_CORE_DATA_READERS_H_
#define TAMER_CORE_DATA_READERS_H_

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

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

absl::Status ReadImages(const ImagesSource& source, const std::string& folder,
                        int64_t limit, Dataset* data);

// `path`, from `folder` if it is relative.
std::string InFolder(const std::string& folder, const std::string& path);

// "PATH: no such file", and for a known data set the command that brings it.
absl::Status CannotOpen(const std::string& path);

// All of a file.
absl::StatusOr<std::string> ReadBytes(const std::string& path);

// A folder's subfolders, which are classes, and the files in each; both sorted
// by bytes, without those whose names begin with a dot. Without subfolders the
// folder's own files are one class without a name.
struct ClassFiles {
  std::vector<std::string> classes;
  std::vector<std::vector<std::string>> paths;
};
absl::StatusOr<ClassFiles> ListClasses(const std::string& folder);

// The items of each class by turns: the first of each, then the second of each,
// and so on, so that any beginning of the data holds all classes.
struct ClassItem {
  int32_t label = 0;
  const std::string* item = nullptr;
};
std::vector<ClassItem> ByTurns(
    const std::vector<std::vector<std::string>>& items);

// An error if `path` is no plain file that can be opened.
absl::Status CheckFile(const std::string& path);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_READERS_H_
