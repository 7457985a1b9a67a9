#include "tools/tensorboard/event_file.h"

#include <isa-l/crc.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/train/files.h"

namespace tamer {
namespace {

// TensorBoard takes files whose names hold "tfevents".
constexpr char kName[] = "events.out.tfevents.tamer";

void AppendLittleEndian(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

}  // namespace

uint32_t MaskedCrc32c(absl::string_view data) {
  // The library's name for it is that of the protocol which made it known; it
  // changes nothing through its pointer.
  const uint32_t crc = ~crc32_iscsi(
      reinterpret_cast<unsigned char*>(const_cast<char*>(data.data())),
      static_cast<int>(data.size()), ~0u);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(
    const std::string& folder, double wall_time) {
  TAMER_RETURN_IF_ERROR(MakeFolder(folder));
  auto file = std::make_unique<EventFile>();
  file->path_ = JoinPath(folder, kName);
  file->file_.reset(std::fopen(file->path_.c_str(), "wbe"));
  if (file->file_ == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        file->path_, ": cannot be written: ", std::strerror(errno)));
  }
  tensorboard::Event version;
  version.set_wall_time(wall_time);
  version.set_file_version("brain.Event:2");
  TAMER_RETURN_IF_ERROR(file->Write(version));
  return file;
}

absl::Status EventFile::Write(const tensorboard::Event& event) {
  const std::string data = event.SerializeAsString();
  std::string record;
  AppendLittleEndian(data.size(), 8, &record);
  AppendLittleEndian(MaskedCrc32c(record), 4, &record);
  record += data;
  AppendLittleEndian(MaskedCrc32c(data), 4, &record);
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) !=
          record.size() ||
      std::fflush(file_.get()) != 0) {
    return absl::UnavailableError(
        absl::StrCat(path_, ": cannot write: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace tamer
