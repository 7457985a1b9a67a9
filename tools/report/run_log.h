#ifndef TAMER_TOOLS_REPORT_RUN_LOG_H_
#define TAMER_TOOLS_REPORT_RUN_LOG_H_

#include <nlohmann/json.hpp>
#include <string>

namespace tamer {

// A run's metrics.jsonl by phase: for each stage or pretrained layer its epochs
// and, of the same length, the numbers of each name (null where there is none).
// A stage done again is a phase of its own.
nlohmann::ordered_json ReadPhases(const std::string& run);

// The metrics of the finished stages, in order.
nlohmann::ordered_json ReadFinished(const std::string& run);

// A run's histograms.jsonl by tensor; of long phases so many epochs, evenly,
// the last among them.
nlohmann::ordered_json ReadHistograms(const std::string& run,
                                      size_t most_epochs = 24);

}  // namespace tamer

#endif  // TAMER_TOOLS_REPORT_RUN_LOG_H_
