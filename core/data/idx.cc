// IDX, the format of MNIST: a big-endian header, then bytes; plain or gzipped.

#include <zlib.h>

#include <memory>
#include <vector>

#include "core/data/readers.h"

namespace tamer {
namespace {

constexpr int64_t kChunk = int64_t{1} << 22;
constexpr int64_t kMostBytes = int64_t{1} << 36;

struct CloseGzip {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

struct IdxFile {
  std::vector<int64_t> dims;
  std::vector<uint8_t> data;
};

// zlib reads a file that isn't gzipped as it is.
class IdxReader {
 public:
  explicit IdxReader(const std::string& path)
      : path_(path), file_(gzopen(path.c_str(), "rb")) {}

  // Reads the first `limit` items of a file of unsigned bytes with `rank`
  // dimensions, or all for 0.
  absl::StatusOr<IdxFile> Read(int rank, int64_t limit);

 private:
  // Memory grows as data arrives, not as a header claims.
  absl::Status ReadBytes(int64_t wanted, std::vector<uint8_t>* out);
  absl::StatusOr<uint32_t> ReadNumber();

  const std::string& path_;
  std::unique_ptr<gzFile_s, CloseGzip> file_;
};

absl::Status IdxReader::ReadBytes(int64_t wanted, std::vector<uint8_t>* out) {
  while (wanted > 0) {
    const size_t before = out->size();
    out->resize(before + std::min(wanted, kChunk));
    const int count = gzread(file_.get(), out->data() + before,
                             static_cast<unsigned>(out->size() - before));
    if (count < 0) {
      return Invalid(path_, ": its gzip data is damaged");
    }
    out->resize(before + count);
    wanted -= count;
    if (count == 0) break;
  }
  if (wanted == 0) return absl::OkStatus();
  return Invalid(path_, ": cut short: ", wanted, " bytes are missing");
}

absl::StatusOr<uint32_t> IdxReader::ReadNumber() {
  std::vector<uint8_t> b;
  TAMER_RETURN_IF_ERROR(ReadBytes(4, &b));
  return uint32_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

absl::StatusOr<IdxFile> IdxReader::Read(int rank, int64_t limit) {
  if (file_ == nullptr) return CannotOpen(path_);
  gzbuffer(file_.get(), 1 << 17);
  TAMER_ASSIGN_OR_RETURN(const uint32_t magic, ReadNumber());
  const uint32_t found_rank = magic & 0xff;
  if (magic >> 8 != 0x08 || found_rank < 1 ||
      (rank == 1) != (found_rank == 1) || found_rank > 8) {
    return Invalid(path_, ": not an IDX file of ",
                   rank == 1 ? "labels (magic 2049)" : "images (magic 2051)",
                   ": its magic is ", magic);
  }
  IdxFile file;
  int64_t item = 1;
  for (uint32_t i = 0; i < found_rank; ++i) {
    TAMER_ASSIGN_OR_RETURN(const uint32_t dim, ReadNumber());
    if (dim == 0) return Invalid(path_, ": dimension ", i, " is 0");
    file.dims.push_back(dim);
    if (i > 0 && (__builtin_mul_overflow(item, int64_t{dim}, &item) ||
                  item > kMostBytes)) {
      return Invalid(path_, ": its dimensions are absurdly large");
    }
  }
  const bool all = limit == 0 || limit >= file.dims[0];
  if (!all) file.dims[0] = limit;
  int64_t bytes;
  if (__builtin_mul_overflow(item, file.dims[0], &bytes) ||
      bytes > kMostBytes) {
    return Invalid(path_, ": its dimensions are absurdly large");
  }
  TAMER_RETURN_IF_ERROR(ReadBytes(bytes, &file.data));
  uint8_t extra;
  if (all && gzread(file_.get(), &extra, 1) > 0) {
    return Invalid(path_, ": longer than its header says");
  }
  return file;
}

}  // namespace

absl::Status ReadIdx(const std::string& images, const std::string& labels,
                     int64_t limit, Dataset* data) {
  TAMER_RETURN_IF_ERROR(CheckFile(images));
  TAMER_ASSIGN_OR_RETURN(IdxFile pixels, IdxReader(images).Read(3, limit));
  data->source = images;
  data->dtype = DType::kUint8;
  data->size = pixels.dims[0];
  data->sample_shape =
      Shape(std::vector<int64_t>(pixels.dims.begin() + 1, pixels.dims.end()));
  data->bytes = std::move(pixels.data);
  if (labels.empty()) return absl::OkStatus();
  TAMER_RETURN_IF_ERROR(CheckFile(labels));
  TAMER_ASSIGN_OR_RETURN(const IdxFile classes,
                         IdxReader(labels).Read(1, limit));
  if (classes.dims[0] != data->size) {
    return Invalid(labels, ": holds ", classes.dims[0], " labels, but ", images,
                   " holds ", data->size, " images");
  }
  data->labels.assign(classes.data.begin(), classes.data.end());
  return absl::OkStatus();
}

}  // namespace tamer
