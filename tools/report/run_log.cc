#include "tools/report/run_log.h"

#include <fstream>
#include <functional>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/train/files.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

// Each line that is whole: the last one may be about to be written.
void ForEachLine(const std::string& path,
                 const std::function<void(const Json&)>& take) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("stage")) take(json);
  }
}

std::string Text(const Json& line, const char* name) {
  const auto it = line.find(name);
  return it != line.end() && it->is_string() ? it->get<std::string>() : "";
}

// Which phase a line is of. Where epochs begin anew, the stage is done again.
class PhaseFinder {
 public:
  // The phase's number, and whether it is new.
  std::pair<size_t, bool> Find(const Json& line) {
    const int64_t epoch = line.value("epoch", int64_t{0});
    const std::string key =
        absl::StrCat(Text(line, "stage"), "/", Text(line, "layer"));
    const auto known = last_.find(key);
    if (known != last_.end() && epoch > known->second.epoch) {
      known->second.epoch = epoch;
      return {known->second.phase, false};
    }
    const int again = known == last_.end() ? 1 : known->second.again + 1;
    last_[key] = {count_, epoch, again};
    return {count_++, true};
  }
  int again(const Json& line) const {
    return last_.at(absl::StrCat(Text(line, "stage"), "/", Text(line, "layer")))
        .again;
  }

 private:
  struct Last {
    size_t phase = 0;
    int64_t epoch = 0;
    int again = 1;
  };
  std::map<std::string, Last> last_;
  size_t count_ = 0;
};

Json NewPhase(const Json& line, int again) {
  Json phase;
  phase["stage"] = Text(line, "stage");
  phase["layer"] = Text(line, "layer");
  phase["again"] = again;
  return phase;
}

}  // namespace

Json ReadPhases(const std::string& run) {
  Json phases = Json::array();
  PhaseFinder finder;
  ForEachLine(JoinPath(run, "metrics.jsonl"), [&](const Json& line) {
    if (!line.contains("epoch")) return;
    const auto [number, fresh] = finder.Find(line);
    if (fresh) {
      phases.push_back(NewPhase(line, finder.again(line)));
      phases.back()["epoch"] = Json::array();
      phases.back()["values"] = Json::object();
    }
    Json& phase = phases[number];
    const size_t before = phase["epoch"].size();
    phase["epoch"].push_back(line["epoch"]);
    for (const auto& entry : line.items()) {
      if (!entry.value().is_number() || entry.key() == "epoch") continue;
      Json& values = phase["values"][entry.key()];
      while (values.size() < before) values.push_back(nullptr);
      values.push_back(entry.value());
    }
    for (Json& values : phase["values"]) {
      if (values.size() == before) values.push_back(nullptr);
    }
  });
  return phases;
}

Json ReadFinished(const std::string& run) {
  Json finished = Json::array();
  ForEachLine(JoinPath(run, "metrics.jsonl"), [&](const Json& line) {
    if (line.value("finished", false)) finished.push_back(line);
  });
  return finished;
}

Json ReadHistograms(const std::string& run, size_t most_epochs) {
  std::vector<std::vector<Json>> lines;  // by phase
  std::vector<Json> heads;
  PhaseFinder finder;
  ForEachLine(JoinPath(run, "histograms.jsonl"), [&](const Json& line) {
    if (!line.contains("epoch") || !line.contains("histograms")) return;
    const auto [number, fresh] = finder.Find(line);
    if (fresh) {
      heads.push_back(NewPhase(line, finder.again(line)));
      lines.emplace_back();
    }
    lines[number].push_back(line);
  });
  Json result = Json::array();
  for (size_t p = 0; p < lines.size(); ++p) {
    const size_t count = lines[p].size();
    const size_t shown = std::min(count, most_epochs);
    std::map<std::string, size_t> places;  // in `result`, by tensor
    for (size_t i = 0; i < shown; ++i) {
      const Json& line =
          lines[p][shown == 1 ? count - 1 : i * (count - 1) / (shown - 1)];
      for (Json one : line["histograms"]) {
        const std::string key = Text(one, "kind") + " " + Text(one, "name");
        if (places.count(key) == 0) {
          places[key] = result.size();
          result.push_back(heads[p]);
          result.back()["name"] = one["name"];
          result.back()["kind"] = one["kind"];
          result.back()["epochs"] = Json::array();
        }
        one.erase("name");
        one.erase("kind");
        one["epoch"] = line["epoch"];
        result[places[key]]["epochs"].push_back(std::move(one));
      }
    }
  }
  return result;
}

}  // namespace tamer
