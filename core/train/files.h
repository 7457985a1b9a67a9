#ifndef TAMER_CORE_TRAIN_FILES_H_
#define TAMER_CORE_TRAIN_FILES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/base/status.h"

// Files that survive a crash: a name either holds the whole of what was written
// or what it held before.

namespace tamer {

// `first`/`second`, or `second` if that is absolute or `first` is empty.
std::string JoinPath(const std::string& first, const std::string& second);

bool Exists(const std::string& path);

// Creates the folder and those above it.
absl::Status MakeFolder(const std::string& path);

// Names in a folder, sorted; none if it cannot be read.
std::vector<std::string> ListFolder(const std::string& path);

// Writes `pieces`, one after the other, to a new file and syncs it.
absl::Status WriteSynced(const std::string& path,
                         const std::vector<absl::string_view>& pieces);

// Writes under a temporary name, syncs, and renames to `path`.
absl::Status ReplaceFile(const std::string& path, absl::string_view content);

// Renames `from` to `to` and syncs the folder they stand in. `to` must not be a
// folder with something in it.
absl::Status RenameSynced(const std::string& from, const std::string& to);

// Removes a folder of plain files, if it is there.
void RemoveFolder(const std::string& path);

// Holds a folder for this process: a second one is refused until it is gone.
class FolderLock {
 public:
  static absl::StatusOr<FolderLock> Take(const std::string& folder);
  FolderLock(FolderLock&& other) : fd_(other.fd_) { other.fd_ = -1; }
  FolderLock& operator=(FolderLock&& other) {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

// SHA-256 of the pieces one after another, in hexadecimal.
std::string Sha256(const std::vector<absl::string_view>& pieces);

// CRC-32 as zlib's, of `data`, continuing `crc`.
uint32_t Crc32(uint32_t crc, absl::string_view data);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_FILES_H_
