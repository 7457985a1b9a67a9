#ifndef TAMER_TOOLS_REPORT_REPORT_H_
#define TAMER_TOOLS_REPORT_REPORT_H_

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/op/registry.h"

// A report about runs: one HTML page that needs nothing but itself.

namespace tamer {

// Something that the craft would do otherwise; it has a section in the report.
struct ReportAdvice {
  std::string rule;      // "minibatch-size"
  std::string severity;  // "error", "warning" or "hint"
  std::string text;
  std::string mend;
};

struct ReportOptions {
  // Whether to open products and data, for filters and the confusion matrix;
  // without, a report is what the run directory's text files say.
  bool pictures = true;
  int64_t filters = 64;
  int threads = 0;
  // By run, as it is named in the report's call.
  std::map<std::string, std::vector<ReportAdvice>> advice;
};

// What the page shows of `runs`, which are run directories. What is missing of
// a run (data that are gone, no stage finished yet) is left out, and why is
// among its "notes".
absl::StatusOr<nlohmann::ordered_json> ReportData(
    const std::vector<std::string>& runs, const OpRegistry& registry,
    const ReportOptions& options);

// The page. A live one asks the server that it comes from for new data.
std::string ReportPage(const nlohmann::ordered_json& data, bool live = false);

}  // namespace tamer

#endif  // TAMER_TOOLS_REPORT_REPORT_H_
