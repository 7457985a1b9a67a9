#include "core/train/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/train/files.h"

namespace tamer {
namespace {

using Json = nlohmann::json;

constexpr int64_t kLengthBytes = 8;
// The format's own limit on its header.
constexpr uint64_t kLongestHeader = 100'000'000;

const char* TypeName(DType type) {
  switch (type) {
    case DType::kFloat:
      return "F32";
    case DType::kInt32:
      return "I32";
    case DType::kUint8:
      return "U8";
    case DType::kInt8:
      return "I8";
  }
  return "";
}

bool FindType(const std::string& name, DType* type) {
  for (DType candidate :
       {DType::kFloat, DType::kInt32, DType::kUint8, DType::kInt8}) {
    if (name == TypeName(candidate)) {
      *type = candidate;
      return true;
    }
  }
  return false;
}

// The order of tensors in a file: elements of many bytes first, then by name.
// So each is aligned without a gap before it, which the format forbids.
std::vector<std::pair<std::string, Tensor>> WideFirst(
    const std::map<std::string, Tensor>& tensors) {
  std::vector<std::pair<std::string, Tensor>> order(tensors.begin(),
                                                    tensors.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) {
                     return SizeOf(a.second.dtype) > SizeOf(b.second.dtype);
                   });
  return order;
}

struct File {
  explicit File(const std::string& path)
      : fd(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  bool Read(void* to, int64_t bytes) {
    char* at = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t count = read(fd, at, bytes);
      if (count <= 0) return false;
      at += count;
      bytes -= count;
    }
    return true;
  }
  int fd;
};

// One entry of the header: checked type, shape and range within `data_bytes`.
absl::StatusOr<Tensor> CheckEntry(const Json& entry, int64_t data_bytes,
                                  int64_t* begin) {
  if (!entry.is_object() || !entry.contains("dtype") ||
      !entry.contains("shape") || !entry.contains("data_offsets")) {
    return Invalid("needs dtype, shape and data_offsets");
  }
  const Json& dtype = entry["dtype"];
  const Json& shape = entry["shape"];
  const Json& offsets = entry["data_offsets"];
  Tensor tensor;
  if (!dtype.is_string() ||
      !FindType(dtype.get<std::string>(), &tensor.dtype)) {
    return Invalid("its type is ", dtype.dump(),
                   "; F32, I32, U8 and I8 are read");
  }
  if (!shape.is_array() || shape.size() > 16) return Invalid("has no shape");
  int64_t elements = 1;
  for (const Json& dim : shape) {
    if (!dim.is_number_unsigned()) return Invalid("has a shape that isn't one");
    const int64_t size = dim.get<int64_t>();
    if (size < 0 || __builtin_mul_overflow(elements, size, &elements) ||
        elements > data_bytes) {
      return Invalid("its shape is larger than the file");
    }
    tensor.shape.push_back(size);
  }
  if (!offsets.is_array() || offsets.size() != 2 ||
      !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return Invalid("has no data_offsets");
  }
  *begin = offsets[0].get<int64_t>();
  const int64_t end = offsets[1].get<int64_t>();
  if (*begin < 0 || end < *begin || end > data_bytes ||
      end - *begin != elements * SizeOf(tensor.dtype)) {
    return Invalid("its data_offsets don't fit its shape or the file");
  }
  return tensor;
}

// Takes the tensors of `header` into `file`, whose memory begins with the data
// at `data`.
absl::Status PlaceTensors(const Json& header, int64_t data_bytes, char* data,
                          TensorFile* file) {
  for (const auto& item : header.items()) {
    if (item.key() == "__metadata__") continue;
    int64_t begin = 0;
    auto tensor = CheckEntry(item.value(), data_bytes, &begin);
    if (!tensor.ok()) {
      return Annotate(tensor.status(),
                      absl::StrCat("tensor \"", item.key(), "\""));
    }
    if (begin % SizeOf(tensor->dtype) != 0) {
      return Invalid("tensor \"", item.key(), "\" is not aligned");
    }
    tensor->data = data + begin;
    file->tensors[item.key()] = *std::move(tensor);
  }
  return absl::OkStatus();
}

absl::Status ReadInto(const std::string& path, bool digest,
                      TensorFile* result) {
  File file(path);
  struct stat info;
  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    return absl::NotFoundError(std::strerror(errno));
  }
  uint64_t length = 0;
  if (!S_ISREG(info.st_mode) || info.st_size < kLengthBytes ||
      !file.Read(&length, kLengthBytes)) {
    return Invalid("not a safetensors file: too short");
  }
  const int64_t rest = info.st_size - kLengthBytes;
  if (length > kLongestHeader || static_cast<int64_t>(length) > rest) {
    return Invalid("not a safetensors file, or cut short: a header of ", length,
                   " bytes in a file of ", static_cast<int64_t>(info.st_size));
  }
  std::string header_text(length, '\0');
  const int64_t data_bytes = rest - static_cast<int64_t>(length);
  result->memory = Buffer(data_bytes);
  char* data = static_cast<char*>(result->memory.data());
  if (!file.Read(&header_text[0], length) || !file.Read(data, data_bytes)) {
    return Invalid("cannot be read whole");
  }
  result->bytes = info.st_size;
  const std::vector<absl::string_view> pieces = {
      absl::string_view(reinterpret_cast<const char*>(&length), kLengthBytes),
      header_text, absl::string_view(data, data_bytes)};
  for (absl::string_view piece : pieces) {
    result->crc32 = Crc32(result->crc32, piece);
  }
  if (digest) result->sha256 = Sha256(pieces);
  const Json header = Json::parse(header_text, nullptr, false);
  if (header.is_discarded() || !header.is_object()) {
    return Invalid("its header is not JSON");
  }
  return PlaceTensors(header, data_bytes, data, result);
}

}  // namespace

absl::StatusOr<TensorFileSummary> WriteTensors(
    const std::string& path, const std::map<std::string, Tensor>& tensors,
    bool digest) {
  Json header = Json::object();
  std::vector<absl::string_view> pieces(2);
  int64_t offset = 0;
  for (const auto& entry : WideFirst(tensors)) {
    const Tensor& tensor = entry.second;
    header[entry.first] = {{"dtype", TypeName(tensor.dtype)},
                           {"shape", tensor.shape.dims()},
                           {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
    pieces.emplace_back(static_cast<const char*>(tensor.data), tensor.bytes());
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // keeps the data aligned
  const uint64_t length = text.size();
  pieces[0] =
      absl::string_view(reinterpret_cast<const char*>(&length), kLengthBytes);
  pieces[1] = text;
  TAMER_RETURN_IF_ERROR(WriteSynced(path, pieces));
  TensorFileSummary summary;
  for (absl::string_view piece : pieces) {
    summary.crc32 = Crc32(summary.crc32, piece);
    summary.bytes += static_cast<int64_t>(piece.size());
  }
  if (digest) summary.sha256 = Sha256(pieces);
  return summary;
}

absl::StatusOr<TensorFile> ReadTensors(const std::string& path, bool digest) {
  TensorFile file;
  TAMER_RETURN_IF_ERROR(Annotate(ReadInto(path, digest, &file), path));
  return file;
}

}  // namespace tamer
