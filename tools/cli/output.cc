#include "tools/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tamer {
namespace {

volatile std::sig_atomic_t stop_asked = 0;

void AskToStop(int signal) {
  stop_asked = 1;
  std::signal(signal, SIG_DFL);
}

bool IsNumber(const std::string& cell) {
  return !cell.empty() &&
         cell.find_first_not_of("0123456789.,-+% eKMGiB") ==
             std::string::npos &&
         cell.find_first_of("0123456789-") != std::string::npos;
}

int TerminalWidth() {
  winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 80;
}

std::string PhaseName(const PhaseReport& report) {
  return report.layer.empty() ? report.stage
                              : report.stage + "/" + report.layer;
}

std::string EpochText(const PhaseReport& report) {
  return absl::StrCat(PhaseName(report), "  epoch ", report.epoch, "/",
                      report.epochs);
}

// Who of several workers holds up the others.
std::string BalanceText(const PhaseReport& report) {
  if (report.workers < 2) return "";
  return absl::StrFormat("  waiting %.0f %%, slowest worker %d",
                         100 * report.waiting_share, report.slowest_worker);
}

}  // namespace

Table::Table(std::vector<std::string> headings) {
  lines_.push_back(std::move(headings));
}

void Table::Add(std::vector<std::string> cells) {
  cells.resize(lines_[0].size());
  lines_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::string text;
  std::vector<size_t> widths(lines_[0].size(), 0);
  std::vector<bool> numeric(lines_[0].size(), lines_.size() > 1);
  for (size_t i = 0; i < lines_.size(); ++i) {
    for (size_t c = 0; c < widths.size(); ++c) {
      widths[c] = std::max(widths[c], lines_[i][c].size());
      if (i > 0 && !lines_[i][c].empty() && !IsNumber(lines_[i][c])) {
        numeric[c] = false;
      }
    }
  }
  for (const auto& line : lines_) {
    std::string row;
    for (size_t c = 0; c < widths.size(); ++c) {
      const std::string pad(widths[c] - line[c].size(), ' ');
      absl::StrAppend(&row, c > 0 ? "  " : "", numeric[c] ? pad : "", line[c],
                      numeric[c] ? "" : pad);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, row, "\n");
  }
  return text;
}

std::string MetricsText(const MetricValues& metrics) {
  std::string text;
  for (const auto& metric : metrics) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", metric.first, " ",
                    absl::EndsWith(metric.first, "accuracy")
                        ? absl::StrFormat("%.2f %%", 100 * metric.second)
                        : NumberText(metric.second));
  }
  return text;
}

ConsoleObserver::ConsoleObserver(bool json)
    : json_(json), terminal_(isatty(STDOUT_FILENO) != 0) {
  stop_asked = 0;
  std::signal(SIGINT, AskToStop);
  std::signal(SIGTERM, AskToStop);
}

ConsoleObserver::~ConsoleObserver() {
  ClearLine();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

void ConsoleObserver::ClearLine() {
  if (line_shown_) std::printf("\r\x1b[K");
  line_shown_ = false;
  std::fflush(stdout);
}

void ConsoleObserver::Message(const std::string& text) {
  if (json_) return;
  ClearLine();
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void ConsoleObserver::Progress(const PhaseReport& report) {
  if (json_ || !terminal_) return;
  constexpr int kBar = 20;
  const int filled =
      static_cast<int>(kBar * report.step_in_epoch /
                       std::max<int64_t>(1, report.steps_per_epoch));
  // What matters most comes first: a narrow terminal cuts the end.
  std::string line = absl::StrCat(
      EpochText(report), " [", std::string(filled, '='),
      std::string(kBar - filled, ' '), "] ", DurationText(report.seconds_left),
      " left  ", MetricsText(report.metrics), "  ",
      WithCommas(static_cast<int64_t>(report.samples_per_second)),
      " samples/s");
  line = line.substr(0, TerminalWidth() - 1);
  std::printf("\r%s\x1b[K", line.c_str());
  std::fflush(stdout);
  line_shown_ = true;
}

void ConsoleObserver::EpochEnds(const PhaseReport& report) {
  if (json_) return;
  ClearLine();
  std::printf(
      "%s  %s  %s samples/s%s\n", EpochText(report).c_str(),
      MetricsText(report.metrics).c_str(),
      WithCommas(static_cast<int64_t>(report.samples_per_second)).c_str(),
      BalanceText(report).c_str());
  std::fflush(stdout);
}

void ConsoleObserver::StageEnds(const std::string& stage,
                                const std::string& product,
                                const MetricValues& metrics, double seconds) {
  stages_.push_back({stage, product, metrics, seconds});
  if (json_) return;
  ClearLine();
  std::printf("stage %s: done in %.1f s%s%s; product: %s\n", stage.c_str(),
              seconds, metrics.empty() ? "" : ", ",
              MetricsText(metrics).c_str(), product.c_str());
  std::fflush(stdout);
}

bool ConsoleObserver::StopAsked() { return stop_asked != 0; }

}  // namespace tamer
