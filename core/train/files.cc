#include "core/train/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/escaping.h"

namespace tamer {
namespace {

absl::Status SystemError(const std::string& path, const char* what) {
  return absl::UnavailableError(
      absl::StrCat(path, ": cannot ", what, ": ", std::strerror(errno)));
}

std::string Parent(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes a rename in `folder` durable.
absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError(folder, "open the folder");
  const bool synced = fsync(fd) == 0;
  close(fd);
  return synced ? absl::OkStatus() : SystemError(folder, "sync the folder");
}

bool WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    // Linux writes at most 2 GiB at a time.
    const size_t most = size_t{1} << 30;
    const ssize_t count = write(fd, data.data(), std::min(data.size(), most));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    data.remove_prefix(count);
  }
  return true;
}

}  // namespace

std::string JoinPath(const std::string& first, const std::string& second) {
  if (first.empty() || (!second.empty() && second[0] == '/')) return second;
  return first.back() == '/' ? first + second : first + "/" + second;
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

absl::Status MakeFolder(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), 0777) != 0 && errno != EEXIST) {
      return SystemError(part, "make the folder");
    }
    if (at == std::string::npos) break;
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::UnavailableError(absl::StrCat(path, " is not a folder"));
  }
  return absl::OkStatus();
}

std::vector<std::string> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return names;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status WriteSynced(const std::string& path,
                         const std::vector<absl::string_view>& pieces) {
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return SystemError(path, "create");
  bool written = true;
  for (absl::string_view piece : pieces)
    written = written && WriteAll(fd, piece);
  written = written && fsync(fd) == 0;
  const int error = errno;
  if (close(fd) != 0 || !written) {
    if (!written) errno = error;
    const absl::Status status = SystemError(path, "write");
    unlink(path.c_str());
    return status;
  }
  return absl::OkStatus();
}

absl::Status ReplaceFile(const std::string& path, absl::string_view content) {
  const std::string temporary = path + ".tmp";
  TAMER_RETURN_IF_ERROR(WriteSynced(temporary, {content}));
  return RenameSynced(temporary, path);
}

absl::Status RenameSynced(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) {
    return SystemError(to, "rename to it");
  }
  return SyncFolder(Parent(to));
}

void RemoveFolder(const std::string& path) {
  for (const std::string& name : ListFolder(path)) {
    unlink(JoinPath(path, name).c_str());
  }
  rmdir(path.c_str());
}

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError(folder, "open the folder");
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " is in use by another process"));
  }
  return FolderLock(fd);
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);  // gives the lock up too
}

std::string Sha256(const std::vector<absl::string_view>& pieces) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(
      EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (absl::string_view piece : pieces) {
    EVP_DigestUpdate(context.get(), piece.data(), piece.size());
  }
  EVP_DigestFinal_ex(context.get(), digest, &length);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), length));
}

uint32_t Crc32(uint32_t crc, absl::string_view data) {
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

}  // namespace tamer
