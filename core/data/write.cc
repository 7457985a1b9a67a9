#include "core/data/write.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_join.h"

namespace tamer {
namespace {

absl::Status Failed(const std::string& path, int error) {
  return absl::UnavailableError(
      absl::StrCat(path, ": cannot write: ", std::strerror(error)));
}

absl::Status WriteWhole(const std::string& path, const std::string& content) {
  const std::string temporary = path + ".tmp";
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return Failed(path, errno);
  bool good =
      std::fwrite(content.data(), 1, content.size(), file) == content.size() &&
      std::fflush(file) == 0;
  int error = errno;
  if (std::fclose(file) != 0 && good) {
    good = false;
    error = errno;
  }
  if (good && std::rename(temporary.c_str(), path.c_str()) == 0) {
    return absl::OkStatus();
  }
  if (good) error = errno;
  unlink(temporary.c_str());
  return Failed(path, error);
}

}  // namespace

absl::Status WriteNpy(const std::string& path, const float* values,
                      int64_t rows, int64_t columns) {
  std::string header =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows,
                   ", ", columns, "), }");
  // The data begins at a multiple of 64 bytes; the header ends in a line end.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string content("\x93NUMPY\x01\x00", 8);
  content += static_cast<char>(header.size() & 0xff);
  content += static_cast<char>(header.size() >> 8);
  content += header;
  content.append(reinterpret_cast<const char*>(values),
                 rows * columns * sizeof(float));
  return WriteWhole(path, content);
}

absl::Status WriteCsv(const std::string& path,
                      const std::vector<std::string>& header,
                      const float* values, int64_t rows, int64_t columns) {
  std::string content = absl::StrJoin(header, ",") + "\n";
  char text[32];
  for (int64_t i = 0; i < rows * columns; ++i) {
    const auto end = std::to_chars(text, text + sizeof(text), values[i]).ptr;
    content.append(text, end);
    content += (i + 1) % columns == 0 ? '\n' : ',';
  }
  return WriteWhole(path, content);
}

}  // namespace tamer
