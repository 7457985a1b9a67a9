#ifndef TAMER_PLUGINS_HOST_GUARD_H_
#define TAMER_PLUGINS_HOST_GUARD_H_

#include <exception>
#include <string>

#include "core/base/status.h"
#include "plugins/tamer_plugin.h"

// What an error's text is kept in while a callback runs.
struct TamerError {
  std::string text;
};

namespace tamer {

// While it lives, this thread is inside a plugin: if the process dies of a
// signal meanwhile, the reporter prints `site` ("plugin libx.so, op Swish, node
// \"h1\"") to stderr first. `site` must outlive it. Costs two stores.
class CallGuard {
 public:
  explicit CallGuard(const char* site);
  ~CallGuard();

  // Where this thread is, or null.
  static const char* Current();

 private:
  const char* before_;
};

// Installs the reporter, once a process; handlers there before (a sanitizer's)
// are called after it.
void InstallCrashReporter();

// Runs a plugin's callback: `call` takes a TamerError* and returns a
// TamerStatus. Its error and its exceptions become a Status that begins with
// `site`.
template <typename Call>
absl::Status Guarded(const std::string& site, const Call& call) {
  TamerError error;
  TamerStatus status = TAMER_FAILED;
  const CallGuard guard(site.c_str());
  try {
    status = call(&error);
  } catch (const std::exception& exception) {
    return absl::InternalError(
        absl::StrCat(site, ": threw an exception: ", exception.what()));
  } catch (...) {
    return absl::InternalError(
        absl::StrCat(site, ": threw something that is no std::exception"));
  }
  if (status == TAMER_OK) return absl::OkStatus();
  return Invalid(site, ": ",
                 error.text.empty() ? "failed without saying why" : error.text);
}

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_GUARD_H_
