#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "core/train/files.h"
#include "tools/cli/skeleton.h"

namespace tamer {

std::string SnakeCase(const std::string& name) {
  std::string snake;
  for (char c : name) {
    if (absl::ascii_isupper(c) && !snake.empty()) snake += '_';
    snake += absl::ascii_tolower(c);
  }
  return snake;
}

absl::Status WriteNew(const std::string& path, const std::string& text) {
  std::FILE* out = std::fopen(path.c_str(), "wx");
  const bool written =
      out != nullptr &&
      std::fwrite(text.data(), 1, text.size(), out) == text.size();
  if (out == nullptr || std::fclose(out) != 0 || !written) {
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot be written: ", std::strerror(errno)));
  }
  if (absl::EndsWith(path, ".sh")) chmod(path.c_str(), 0755);
  return absl::OkStatus();
}

absl::Status WriteSkeleton(const std::string& folder,
                           const std::vector<SkeletonFile>& files,
                           const Replacements& replacements) {
  if (Exists(folder)) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder, ": is there already; nothing was written"));
  }
  if (mkdir(folder.c_str(), 0777) != 0) {
    return absl::UnavailableError(
        absl::StrCat(folder, ": cannot be made: ", std::strerror(errno)));
  }
  return WriteFiles(folder, files, replacements);
}

absl::Status WriteFiles(const std::string& folder,
                        const std::vector<SkeletonFile>& files,
                        const Replacements& replacements) {
  for (const SkeletonFile& file : files) {
    TAMER_RETURN_IF_ERROR(
        WriteNew(JoinPath(folder, absl::StrReplaceAll(file.name, replacements)),
                 absl::StrReplaceAll(file.text, replacements)));
  }
  return absl::OkStatus();
}

}  // namespace tamer
