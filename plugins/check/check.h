#ifndef TAMER_PLUGINS_CHECK_CHECK_H_
#define TAMER_PLUGINS_CHECK_CHECK_H_

#include <functional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/op/registry.h"

// The conformance kit: `tamer plugins check`.

namespace tamer {

// One thing that was looked at.
struct CheckResult {
  enum Verdict { kPassed, kFailed, kNote };
  Verdict verdict = kPassed;
  std::string subject;  // "op Swish"
  std::string check;    // "gradient"
  std::string detail;   // what was seen, and what to do about it
};

// Loads the plugin at `path` and tries all it offers, each thing in a process
// of its own, so that a crash or an endless loop is one failed check. An error
// only if it cannot be loaded; `register_builtins` fills a registry with the
// ops that the plugin may compose its gradients of.
absl::StatusOr<std::vector<CheckResult>> CheckPlugin(
    const std::string& path,
    const std::function<absl::Status(OpRegistry&)>& register_builtins);

}  // namespace tamer

#endif  // TAMER_PLUGINS_CHECK_CHECK_H_
