#ifndef TAMER_PLUGINS_CHECK_ISOLATE_H_
#define TAMER_PLUGINS_CHECK_ISOLATE_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "plugins/check/check.h"

namespace tamer {

// Collects results about one subject.
class Findings {
 public:
  explicit Findings(std::string subject) : subject_(std::move(subject)) {}

  // Says what is looked at next: what a crash is blamed on.
  void Begin(const std::string& check);
  void Fail(const std::string& detail);
  void Note(const std::string& detail);

  // Where results go as they are found; by default nowhere.
  std::function<void(const CheckResult&)> sink;

 private:
  void Add(CheckResult::Verdict verdict, const std::string& detail);

  const std::string subject_;
  std::string check_;
  // Checks that failed or were noted: once is enough.
  std::set<std::string> told_;
};

// Runs `body` in a child process and returns what it found. A crash or more
// than `seconds` of running becomes a failed result of the check under way.
std::vector<CheckResult> InChild(const std::string& subject, int seconds,
                                 const std::function<void(Findings&)>& body);

}  // namespace tamer

#endif  // TAMER_PLUGINS_CHECK_ISOLATE_H_
