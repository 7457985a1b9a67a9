// NumPy's .npy: a header that is a Python dictionary, then the array.

#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/data/readers.h"

namespace tamer {
namespace {

struct NpyFile {
  std::string type;  // "f4"
  std::vector<int64_t> dims;
  std::vector<char> data;
};

// What follows `key` in the header up to `end`, without spaces at its ends.
absl::StatusOr<std::string> HeaderField(const std::string& header,
                                        const std::string& key,
                                        const std::string& end) {
  const size_t at = header.find("'" + key + "'");
  const size_t colon = at == std::string::npos ? at : header.find(':', at);
  const size_t stop =
      colon == std::string::npos ? colon : header.find(end, colon);
  if (stop == std::string::npos) return Invalid("its header has no ", key);
  return std::string(
      absl::StripAsciiWhitespace(header.substr(colon + 1, stop - colon - 1)));
}

absl::Status ParseHeader(const std::string& header, NpyFile* file) {
  TAMER_ASSIGN_OR_RETURN(const std::string descr,
                         HeaderField(header, "descr", ","));
  TAMER_ASSIGN_OR_RETURN(const std::string order,
                         HeaderField(header, "fortran_order", ","));
  TAMER_ASSIGN_OR_RETURN(const std::string shape,
                         HeaderField(header, "shape", ")"));
  for (const char* type : {"u1", "i4", "i8", "f4", "f8"}) {
    const std::string quoted = descr.size() > 3 ? descr.substr(2, 2) : "";
    if (quoted == type && (descr[1] == '<' || descr[1] == '|')) {
      file->type = type;
    }
  }
  if (file->type.empty()) {
    return Invalid("its type is ", descr.substr(0, 20),
                   "; u1, i4, i8, f4 and f8, little-endian, are read");
  }
  if (order != "False") {
    return Invalid(
        "it is in Fortran order; save it by numpy.ascontiguousarray");
  }
  if (shape.empty() || shape[0] != '(') return Invalid("its shape is damaged");
  for (absl::string_view part : absl::StrSplit(shape.substr(1), ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty()) continue;
    int64_t dim;
    if (!absl::SimpleAtoi(part, &dim) || dim < 0) {
      return Invalid("its shape is damaged");
    }
    file->dims.push_back(dim);
  }
  return absl::OkStatus();
}

absl::Status ReadFileInto(const std::string& path, NpyFile* file) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(0, std::ios::end);
  const int64_t size = in.tellg();
  in.seekg(0);
  char magic[8] = {};
  in.read(magic, 8);
  if (!in || std::memcmp(magic, "\x93NUMPY", 6) != 0) {
    return Invalid("not a .npy file");
  }
  uint32_t length = 0;
  const int length_bytes = magic[6] == 1 ? 2 : 4;
  in.read(reinterpret_cast<char*>(&length), length_bytes);
  const int64_t begin = 8 + length_bytes + int64_t{length};
  if (!in || begin > size || length > (1 << 20)) return Invalid("cut short");
  std::string header(length, '\0');
  in.read(&header[0], length);
  TAMER_RETURN_IF_ERROR(ParseHeader(header, file));
  int64_t bytes = file->type[1] - '0';
  for (int64_t dim : file->dims) {
    if (__builtin_mul_overflow(bytes, dim, &bytes)) {
      return Invalid("its shape is absurdly large");
    }
  }
  if (bytes != size - begin) {
    return Invalid("its shape needs ", bytes, " bytes, but ", size - begin,
                   " follow the header");
  }
  file->data.resize(bytes);
  in.read(file->data.data(), bytes);
  return in ? absl::OkStatus() : Invalid("cannot be read whole");
}

absl::StatusOr<NpyFile> OpenNpy(const std::string& path) {
  TAMER_RETURN_IF_ERROR(CheckFile(path));
  NpyFile file;
  TAMER_RETURN_IF_ERROR(Annotate(ReadFileInto(path, &file), path));
  return file;
}

template <typename T>
double ValueOf(const char* data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * sizeof(T), sizeof(T));
  return static_cast<double>(value);
}

double ValueAt(const NpyFile& file, int64_t i) {
  const char* data = file.data.data();
  if (file.type == "u1") return ValueOf<uint8_t>(data, i);
  if (file.type == "i4") return ValueOf<int32_t>(data, i);
  if (file.type == "i8") return ValueOf<int64_t>(data, i);
  if (file.type == "f4") return ValueOf<float>(data, i);
  return ValueOf<double>(data, i);
}

// Appends the first `count` numbers of `file`, each an integer of at least
// `least`; `what` names them in errors.
absl::Status ReadIntegers(const NpyFile& file, const char* what, int64_t count,
                          int32_t least, std::vector<int32_t>* out) {
  for (int64_t i = 0; i < count; ++i) {
    const double value = ValueAt(file, i);
    if (!(value >= least && value < 2147483648.0) ||
        value != std::floor(value)) {
      return Invalid(what, " ", i, " is ", value,
                     "; it must be an integer of at least ", least);
    }
    out->push_back(static_cast<int32_t>(value));
  }
  return absl::OkStatus();
}

// [n]: one a sample; [n, steps]: one a step, -1 for none.
absl::Status ReadLabels(const std::string& path, const std::string& features,
                        int64_t file_size, Dataset* data) {
  TAMER_ASSIGN_OR_RETURN(const NpyFile file, OpenNpy(path));
  const size_t rank = file.dims.size();
  if (rank < 1 || rank > 2 || file.dims[0] != file_size ||
      (rank == 2 && file.dims[1] < 1)) {
    return Invalid(path, ": labels must be one for each of the ", file_size,
                   " samples of ", features, ", or a row for each");
  }
  data->labels_per_sample = rank == 2 ? file.dims[1] : 1;
  return Annotate(
      ReadIntegers(file, "label", data->size * data->labels_per_sample,
                   rank == 2 ? -1 : 0, &data->labels),
      path);
}

absl::Status ReadLengths(const std::string& path, const std::string& features,
                         int64_t file_size, Dataset* data) {
  TAMER_ASSIGN_OR_RETURN(const NpyFile file, OpenNpy(path));
  if (file.dims.size() != 1 || file.dims[0] != file_size) {
    return Invalid(path, ": lengths must be one for each of the ", file_size,
                   " samples of ", features);
  }
  TAMER_RETURN_IF_ERROR(Annotate(
      ReadIntegers(file, "length", data->size, 0, &data->lengths), path));
  const int64_t most = data->sample_shape.dim(0);
  for (int64_t i = 0; i < data->size; ++i) {
    if (data->lengths[i] <= most) continue;
    return Invalid(path, ": length ", i, " is ", data->lengths[i],
                   ", but samples have ", most, " steps");
  }
  return absl::OkStatus();
}

absl::Status ReadFeatures(const NpyFile& file, bool tokens, int64_t width,
                          Dataset* data) {
  const int64_t count = data->size * width;
  if (tokens) {
    data->dtype = DType::kInt32;
    return ReadIntegers(file, "token", count, -1, &data->tokens);
  }
  if (file.type == "u1") {
    data->dtype = DType::kUint8;
    data->bytes.assign(file.data.begin(), file.data.begin() + count);
    return absl::OkStatus();
  }
  data->dtype = DType::kFloat;
  data->floats.resize(count);
  for (int64_t i = 0; i < count; ++i) {
    data->floats[i] = static_cast<float>(ValueAt(file, i));
    if (!std::isfinite(data->floats[i])) {
      return Invalid("sample ", i / width, ", feature ", i % width, " is ",
                     data->floats[i], ", not a finite number");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadNpy(const NpySource& source, const std::string& folder,
                     int64_t limit, Dataset* data) {
  const std::string features = InFolder(folder, source.features());
  TAMER_ASSIGN_OR_RETURN(const NpyFile file, OpenNpy(features));
  if (file.dims.size() < 2) {
    return Invalid(features,
                   ": features must be [samples, ...], but the array ", "has ",
                   file.dims.size(), " dimensions");
  }
  int64_t width = 1;
  for (size_t i = 1; i < file.dims.size(); ++i) width *= file.dims[i];
  if (file.dims[0] < 1 || width < 1) {
    return Invalid(features, ": there is no sample in it");
  }
  data->source = features;
  data->sample_shape =
      Shape(std::vector<int64_t>(file.dims.begin() + 1, file.dims.end()));
  data->size =
      limit > 0 ? std::min<int64_t>(limit, file.dims[0]) : file.dims[0];
  TAMER_RETURN_IF_ERROR(
      Annotate(ReadFeatures(file, source.tokens(), width, data), features));
  if (!source.labels().empty()) {
    TAMER_RETURN_IF_ERROR(ReadLabels(InFolder(folder, source.labels()),
                                     features, file.dims[0], data));
  }
  if (source.lengths().empty()) return absl::OkStatus();
  return ReadLengths(InFolder(folder, source.lengths()), features, file.dims[0],
                     data);
}

}  // namespace tamer
