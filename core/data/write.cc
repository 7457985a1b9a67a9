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

// An array of NumPy's format; `type` as NumPy writes it.
absl::Status WriteArray(const std::string& path, const char* type,
                        const std::vector<int64_t>& shape, const void* values,
                        int64_t bytes) {
  std::string header = absl::StrCat(
      "{'descr': '", type, "', 'fortran_order': False, 'shape': (",
      absl::StrJoin(shape, ", "), shape.size() == 1 ? "," : "", "), }");
  // The data begins at a multiple of 64 bytes; the header ends in a line end.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string content("\x93NUMPY\x01\x00", 8);
  content += static_cast<char>(header.size() & 0xff);
  content += static_cast<char>(header.size() >> 8);
  content += header;
  content.append(static_cast<const char*>(values), bytes);
  return WriteWhole(path, content);
}

}  // namespace

absl::Status WriteNpy(const std::string& path, const float* values,
                      int64_t rows, int64_t columns) {
  return WriteArray(path, "<f4", {rows, columns}, values,
                    rows * columns * sizeof(float));
}

absl::StatusOr<DataSource> WriteDataset(const std::string& prefix,
                                        const Dataset& data) {
  DataSource source;
  NpySource& npy = *source.mutable_npy();
  npy.set_features(prefix + "-features.npy");
  std::vector<int64_t> shape = data.sample_shape.dims();
  shape.insert(shape.begin(), data.size);
  const auto write = [](const std::string& path, const char* type,
                        const std::vector<int64_t>& dims, const auto& values) {
    return WriteArray(path, type, dims, values.data(),
                      values.size() * sizeof(values[0]));
  };
  switch (data.dtype) {
    case DType::kUint8:
      TAMER_RETURN_IF_ERROR(write(npy.features(), "|u1", shape, data.bytes));
      break;
    case DType::kInt32:
      npy.set_tokens(true);
      TAMER_RETURN_IF_ERROR(write(npy.features(), "<i4", shape, data.tokens));
      break;
    default:
      TAMER_RETURN_IF_ERROR(write(npy.features(), "<f4", shape, data.floats));
  }
  if (!data.labels.empty()) {
    npy.set_labels(prefix + "-labels.npy");
    std::vector<int64_t> dims = {data.size};
    if (data.labels_per_sample != 1) dims.push_back(data.labels_per_sample);
    TAMER_RETURN_IF_ERROR(write(npy.labels(), "<i4", dims, data.labels));
  }
  if (!data.lengths.empty()) {
    npy.set_lengths(prefix + "-lengths.npy");
    TAMER_RETURN_IF_ERROR(
        write(npy.lengths(), "<i4", {data.size}, data.lengths));
  }
  return source;
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
