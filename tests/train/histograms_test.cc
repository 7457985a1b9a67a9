#include "core/train/histograms.h"

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/train/fixture.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

int64_t Total(const Histogram& histogram) {
  return std::accumulate(histogram.counts.begin(), histogram.counts.end(),
                         int64_t{0});
}

TEST(MakeHistogram, CountsInEqualSteps) {
  std::vector<float> values;
  for (int i = 0; i < 4000; ++i) values.push_back(static_cast<float>(i % 40));
  values.push_back(NAN);
  values.push_back(INFINITY);
  const Histogram histogram = MakeHistogram(values.data(), values.size());
  EXPECT_EQ(histogram.low, 0);
  EXPECT_EQ(histogram.high, 39);
  EXPECT_NEAR(histogram.mean, 19.5, 1e-9);
  EXPECT_NEAR(histogram.deviation, std::sqrt((40.0 * 40 - 1) / 12), 1e-9);
  EXPECT_EQ(Total(histogram), 4000);
  for (int64_t count : histogram.counts) EXPECT_EQ(count, 100);
}

TEST(MakeHistogram, TakesConstantsAndNothing) {
  const std::vector<float> same(10, 2.5f);
  const Histogram constant = MakeHistogram(same.data(), 10);
  EXPECT_EQ(constant.low, 2.5);
  EXPECT_EQ(constant.high, 2.5);
  EXPECT_EQ(constant.counts[constant.counts.size() / 2], 10);
  const std::vector<float> none(3, NAN);
  EXPECT_EQ(Total(MakeHistogram(none.data(), 3)), 0);
}

// A sample of a matrix is of all its columns: single numbers at equal distances
// would be of one.
TEST(MakeHistogram, SamplesLargeTensorsEvenly) {
  std::vector<float> values(1 << 20);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 1024);
  }
  const Histogram histogram =
      MakeHistogram(values.data(), static_cast<int64_t>(values.size()));
  EXPECT_LT(Total(histogram), 1 << 17);
  EXPECT_LT(histogram.low, 64);
  EXPECT_GT(histogram.high, 960);
  EXPECT_NEAR(histogram.mean, 511.5, 60);
}

using HistogramsTest = TrainTest;

std::vector<Json> Lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(Json::parse(line));
  }
  return lines;
}

TEST_F(HistogramsTest, KeepsWhatEachPhaseTrains) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  std::map<std::string, std::set<std::string>> found;
  for (const Json& line : Lines(Path("run") + "/histograms.jsonl")) {
    if (line["epoch"] != 1) continue;  // always there
    const std::string phase = line.value("layer", std::string(line["stage"]));
    for (const Json& one : line["histograms"]) {
      found[phase].insert(absl::StrCat(std::string(one["kind"]), " ",
                                       std::string(one["name"])));
      EXPECT_LE(one["low"], one["high"]);
    }
  }
  EXPECT_EQ(found["h1"],
            (std::set<std::string>{"weight h1/weight", "weight h1/bias",
                                   "activation h1"}));
  EXPECT_EQ(found["h2"].count("activation h2"), 1u);
  EXPECT_EQ(found["h2"].count("weight h1/weight"), 0u);
  EXPECT_EQ(found["labels"].size(), 6u + 3u);
  // Sigmoids' activities are shares.
  for (const Json& line : Lines(Path("run") + "/histograms.jsonl")) {
    for (const Json& one : line["histograms"]) {
      if (one["kind"] != "activation" || one["name"] == "logits") continue;
      EXPECT_GE(one["low"], 0);
      EXPECT_LE(one["high"], 1);
    }
  }
}

TEST_F(HistogramsTest, ChangesNoProduct) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("with", &quiet).ok());
  ASSERT_TRUE(TrainIn("without", &quiet, {"histograms=false"}).ok());
  EXPECT_FALSE(Exists(Path("without") + "/histograms.jsonl"));
  EXPECT_EQ(Products("with"), Products("without"));
  EXPECT_EQ(Metrics("with"), Metrics("without"));
}

TEST_F(HistogramsTest, DoublesNothingWhenResumed) {
  Observer quiet;
  Stopper stopper(100);
  const auto cut = TrainIn("run", &stopper);
  ASSERT_TRUE(cut.ok()) << cut.status();
  ASSERT_FALSE(cut->finished);
  // As after a kill: a line that the checkpoint doesn't know.
  std::ofstream(Path("run") + "/histograms.jsonl", std::ios::app)
      << R"({"stage":"features","epoch":99,"histograms":[]})"
      << "\n";
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  std::set<std::string> seen;
  for (const Json& line : Lines(Path("run") + "/histograms.jsonl")) {
    EXPECT_NE(line["epoch"], 99);
    EXPECT_TRUE(seen.insert(absl::StrCat(
                                line.value("layer", std::string(line["stage"])),
                                int64_t{line["epoch"]}))
                    .second)
        << line["stage"] << line["epoch"];
  }
}

}  // namespace
}  // namespace tamer
