#ifndef TAMER_TOOLS_TENSORBOARD_EVENT_FILE_H_
#define TAMER_TOOLS_TENSORBOARD_EVENT_FILE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "tools/tensorboard/events.pb.h"

namespace tamer {

// CRC-32C (Castagnoli) as TFRecord files have it: rotated and added to, since
// checksums of data that hold checksums are weak.
uint32_t MaskedCrc32c(absl::string_view data);

// A TFRecord file of events: each record is its length (8 bytes, little
// endian), the length's checksum, the event, and the event's checksum.
class EventFile {
 public:
  // Makes `folder` and a new file in it, in place of one that an earlier
  // EventFile left, and writes the record that tells the format's version.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(
      const std::string& folder, double wall_time);

  // Appends one and hands it to the system.
  absl::Status Write(const tensorboard::Event& event);

  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace tamer

#endif  // TAMER_TOOLS_TENSORBOARD_EVENT_FILE_H_
