#include "core/train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tamer {

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(
    const std::string& path, int64_t keep_bytes) {
  auto log = std::make_unique<MetricsLog>();
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || ftruncate(fd, keep_bytes) != 0 || lseek(fd, 0, SEEK_END) < 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot open: ", std::strerror(error)));
  }
  log->path_ = path;
  log->file_.reset(fdopen(fd, "w"));
  log->bytes_ = keep_bytes;
  return log;
}

absl::Status MetricsLog::Append(const std::string& line) {
  const std::string text = line + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() ||
      std::fflush(file_.get()) != 0) {
    return absl::UnavailableError(
        absl::StrCat(path_, ": cannot write: ", std::strerror(errno)));
  }
  bytes_ += static_cast<int64_t>(text.size());
  return absl::OkStatus();
}

}  // namespace tamer
