#include "tools/watch/watch.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "core/train/files.h"
#include "tools/report/report.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

int64_t SizeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? static_cast<int64_t>(info.st_size)
                                        : 0;
}

std::string Print(const Json& json) {
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Watch>> Watch::Start(int port,
                                                    const std::string& run,
                                                    const OpRegistry& registry,
                                                    Observer* next) {
  auto watch = std::unique_ptr<Watch>(new Watch(run, registry, next));
  const auto answer = [raw = watch.get()](const LocalServer::Request& request) {
    return raw->Answer(request);
  };
  auto server = LocalServer::Start(port < 0 ? kPort : port, answer);
  if (!server.ok() && port < 0) server = LocalServer::Start(0, answer);
  if (!server.ok()) return server.status();
  watch->server_ = *std::move(server);
  return watch;
}

std::string Watch::address() const {
  return absl::StrCat("http://127.0.0.1:", server_->port(), "/");
}

void Watch::Progress(const PhaseReport& report) {
  Note(report);
  Relay::Progress(report);
}

void Watch::EpochEnds(const PhaseReport& report) {
  Note(report);
  Relay::EpochEnds(report);
}

void Watch::Note(const PhaseReport& report) {
  Json progress = {{"stage", report.stage},
                   {"layer", report.layer},
                   {"epoch", report.epoch},
                   {"epochs", report.epochs},
                   {"step", report.step_in_epoch},
                   {"steps", report.steps_per_epoch},
                   {"samples_per_second", report.samples_per_second},
                   {"seconds_left", report.seconds_left},
                   {"metrics", Json::object()}};
  for (const auto& metric : report.metrics) {
    progress["metrics"][metric.first] = metric.second;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  progress_ = std::move(progress);
}

// What a run has written so far only grows, but for a resumed one, which is cut
// before it is served.
std::string Watch::Version() const {
  return absl::StrCat(SizeOf(JoinPath(run_, "metrics.jsonl")), "-",
                      SizeOf(JoinPath(run_, "histograms.jsonl")), "-",
                      SizeOf(JoinPath(run_, "run.pbtxt")));
}

// A run that has just begun may lack its folder.
Json Watch::Data() const {
  ReportOptions options;
  options.pictures = false;
  const std::string version = Version();
  auto data = ReportData({run_}, registry_, options);
  Json json = data.ok() ? *std::move(data) : Json{{"runs", Json::array()}};
  json["version"] = version;
  return json;
}

LocalServer::Answer Watch::Answer(const LocalServer::Request& request) {
  if (request.path == "/") {
    return {200, "text/html; charset=utf-8", ReportPage(Data(), true)};
  }
  if (request.path != "/data.json") return {404, "text/plain", "not here\n"};
  const std::string version = Version();
  Json json = request.since == version ? Json{{"version", version}} : Data();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    json["progress"] = progress_;
  }
  return {200, "application/json", Print(json)};
}

}  // namespace tamer
