#ifndef TAMER_CORE_TRAIN_METRICS_LOG_H_
#define TAMER_CORE_TRAIN_METRICS_LOG_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "core/base/status.h"

namespace tamer {

// metrics.jsonl: one JSON object a line, appended.
class MetricsLog {
 public:
  // Opens or creates the file and cuts it to its first `keep_bytes`: what an
  // interrupted run had written after its last checkpoint is written again.
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(
      const std::string& path, int64_t keep_bytes);

  // Appends `line`, which has no line end, and hands it to the system.
  absl::Status Append(const std::string& line);

  int64_t bytes() const { return bytes_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  int64_t bytes_ = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_METRICS_LOG_H_
