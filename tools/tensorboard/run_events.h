#ifndef TAMER_TOOLS_TENSORBOARD_RUN_EVENTS_H_
#define TAMER_TOOLS_TENSORBOARD_RUN_EVENTS_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tools/tensorboard/event_file.h"

namespace tamer {

// A run's metrics.jsonl and histograms.jsonl as TensorBoard's events, in
// FOLDER/NAME/ where NAME is the run directory's. Tags are STAGE/METRIC or
// STAGE/LAYER/METRIC, steps are epochs.
class RunEvents {
 public:
  // Writes what the run holds so far; it need not hold anything yet.
  static absl::StatusOr<std::unique_ptr<RunEvents>> Create(
      const std::string& run, const std::string& folder);

  // Writes what came since.
  absl::Status Update();

  const std::string& path() const { return file_->path(); }

 private:
  explicit RunEvents(const std::string& run) : run_(run) {}
  absl::Status Read(const std::string& name, int64_t* done);
  absl::Status WriteLine(const nlohmann::ordered_json& line);

  std::string run_;
  std::unique_ptr<EventFile> file_;
  int64_t metrics_done_ = 0, histograms_done_ = 0;  // bytes
  int64_t epoch_ = 0;
  double time_ = 0;  // when the last epoch ended, since 1970
};

}  // namespace tamer

#endif  // TAMER_TOOLS_TENSORBOARD_RUN_EVENTS_H_
