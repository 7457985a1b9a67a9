#include "tools/tensorboard/run_events.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/train/files.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kMetrics[] = "metrics.jsonl";
constexpr char kHistograms[] = "histograms.jsonl";

double Now() {
  return std::chrono::duration<double>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// When the run's first epoch began, by when its metrics were last written and
// how long all epochs took.
double BeganAt(const std::string& run) {
  const std::string path = JoinPath(run, kMetrics);
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return Now();
  double time = static_cast<double>(info.st_mtime);
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object()) time -= json.value("seconds", 0.0);
  }
  return time;
}

std::string TagPrefix(const Json& line) {
  std::string prefix = line.value("stage", std::string()) + "/";
  if (line.contains("layer")) {
    absl::StrAppend(&prefix, line.value("layer", std::string()), "/");
  }
  return prefix;
}

void AddHistogram(const Json& one, const std::string& prefix,
                  tensorboard::Summary* summary) {
  const std::vector<double> counts = one.value("counts", std::vector<double>());
  const double low = one.value("low", 0.0), high = one.value("high", 0.0);
  const double mean = one.value("mean", 0.0);
  const double deviation = one.value("deviation", 0.0);
  double number = 0;
  for (double count : counts) number += count;
  auto* value = summary->add_value();
  value->set_tag(absl::StrCat(prefix, one.value("kind", std::string()), "s/",
                              one.value("name", std::string())));
  auto* histogram = value->mutable_histo();
  histogram->set_min(low);
  histogram->set_max(high);
  histogram->set_num(number);
  histogram->set_sum(mean * number);
  histogram->set_sum_squares((deviation * deviation + mean * mean) * number);
  const double step = (high - low) / std::max<size_t>(1, counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    histogram->add_bucket_limit(low + static_cast<double>(i + 1) * step);
    histogram->add_bucket(counts[i]);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunEvents>> RunEvents::Create(
    const std::string& run, const std::string& folder) {
  std::string name = run;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  name = name.substr(name.rfind('/') + 1);
  auto events = std::unique_ptr<RunEvents>(new RunEvents(run));
  events->time_ = BeganAt(run);
  TAMER_ASSIGN_OR_RETURN(
      events->file_, EventFile::Create(JoinPath(folder, name), events->time_));
  TAMER_RETURN_IF_ERROR(events->Update());
  return events;
}

absl::Status RunEvents::Update() {
  TAMER_RETURN_IF_ERROR(Read(kMetrics, &metrics_done_));
  return Read(kHistograms, &histograms_done_);
}

// Whole lines alone: the last one may be about to be written.
absl::Status RunEvents::Read(const std::string& name, int64_t* done) {
  std::ifstream in(JoinPath(run_, name), std::ios::binary);
  in.seekg(*done);
  for (std::string line; std::getline(in, line) && !in.eof();) {
    *done += static_cast<int64_t>(line.size()) + 1;
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    TAMER_RETURN_IF_ERROR(WriteLine(json));
  }
  return absl::OkStatus();
}

absl::Status RunEvents::WriteLine(const Json& line) {
  tensorboard::Event event;
  time_ = std::min(Now(), time_ + line.value("seconds", 0.0));
  event.set_wall_time(time_);
  // What a stage ends with stands at its last epoch; histograms, which are read
  // apart and not of every epoch, don't tell which that was.
  const int64_t epoch = line.value("epoch", epoch_);
  event.set_step(epoch);
  if (!line.contains("histograms")) epoch_ = epoch;
  const std::string prefix = TagPrefix(line);
  for (const auto& entry : line.items()) {
    if (!entry.value().is_number() || entry.key() == "epoch") continue;
    auto* value = event.mutable_summary()->add_value();
    value->set_tag(prefix + entry.key());
    value->set_simple_value(entry.value().get<float>());
  }
  if (line.contains("histograms") && line["histograms"].is_array()) {
    for (const Json& one : line["histograms"]) {
      if (one.is_object()) AddHistogram(one, prefix, event.mutable_summary());
    }
  }
  if (event.summary().value_size() == 0) return absl::OkStatus();
  return file_->Write(event);
}

}  // namespace tamer
