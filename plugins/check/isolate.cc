#include "plugins/check/isolate.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_split.h"

namespace tamer {
namespace {

// Results travel as records of three fields: kind, check, detail.
constexpr char kField = '\x1f';
constexpr char kRecord = '\x1e';
constexpr char kBegins = 'B';

void Send(int pipe, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(pipe, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += n;
  }
}

std::string Read(int pipe) {
  std::string all;
  char buffer[4096];
  while (true) {
    const ssize_t n = read(pipe, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return all;
    all.append(buffer, n);
  }
}

}  // namespace

void Findings::Begin(const std::string& check) {
  check_ = check;
  // A record of its own kind, so that the parent knows where the child was.
  if (sink) sink({CheckResult::kNote, subject_, check_, ""});
}
void Findings::Fail(const std::string& d) { Add(CheckResult::kFailed, d); }
void Findings::Note(const std::string& d) { Add(CheckResult::kNote, d); }

void Findings::Add(CheckResult::Verdict verdict, const std::string& detail) {
  if (!told_.insert(absl::StrCat(check_, verdict)).second) return;
  if (sink) sink({verdict, subject_, check_, detail.empty() ? "-" : detail});
}

std::vector<CheckResult> InChild(const std::string& subject, int seconds,
                                 const std::function<void(Findings&)>& body) {
  int ends[2];
  std::vector<CheckResult> results;
  if (pipe(ends) != 0) {
    results.push_back({CheckResult::kFailed, subject, "start",
                       absl::StrCat("no pipe: ", std::strerror(errno))});
    return results;
  }
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    const int null = open("/dev/null", O_WRONLY);
    if (null >= 0) dup2(null, STDERR_FILENO);
    alarm(seconds);
    Findings findings(subject);
    findings.sink = [&](const CheckResult& result) {
      const char kind = result.detail.empty()
                            ? kBegins
                            : static_cast<char>('0' + result.verdict);
      Send(ends[1], absl::StrCat(std::string(1, kind), std::string(1, kField),
                                 result.check, std::string(1, kField),
                                 result.detail, std::string(1, kRecord)));
    };
    body(findings);
    _exit(0);
  }
  close(ends[1]);
  const std::string text = Read(ends[0]);
  close(ends[0]);
  std::string under_way = "start";
  for (absl::string_view record :
       absl::StrSplit(text, kRecord, absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(record, kField);
    if (fields.size() != 3) continue;
    under_way = fields[1];
    if (fields[0][0] == kBegins) continue;
    results.push_back({static_cast<CheckResult::Verdict>(fields[0][0] - '0'),
                       subject, fields[1], fields[2] == "-" ? "" : fields[2]});
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    results.push_back(
        {CheckResult::kFailed, subject, under_way,
         absl::StrCat("not over after ", seconds, " s; does it loop?")});
  } else if (WIFSIGNALED(status)) {
    results.push_back(
        {CheckResult::kFailed, subject, under_way,
         absl::StrCat("crashed (", strsignal(WTERMSIG(status)),
                      "); memory beyond a tensor's end is guarded here")});
  } else if (WEXITSTATUS(status) != 0) {
    results.push_back(
        {CheckResult::kFailed, subject, under_way, "ended the process"});
  }
  return results;
}

}  // namespace tamer
