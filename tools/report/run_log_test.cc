#include "tools/report/run_log.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tools/report/report.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

class RunLogTest : public ::testing::Test {
 protected:
  RunLogTest() {
    std::string pattern = ::testing::TempDir() + "/runXXXXXX";
    run_ = mkdtemp(&pattern[0]);
  }
  ~RunLogTest() override {
    EXPECT_EQ(std::system(("rm -rf " + run_).c_str()), 0);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(run_ + "/" + name) << text;
  }
  std::string run_;
};

TEST_F(RunLogTest, PutsEpochsInColumns) {
  Write("metrics.jsonl", R"({"stage":"f","layer":"h1","epoch":1,"error":0.5}
{"stage":"f","layer":"h2","epoch":1,"error":0.7}
{"stage":"f","layer":"h1","epoch":2,"error":0.4,"late":1}
{"stage":"d","epoch":1,"loss":2,"series":[1,2]}
{"stage":"d","finished":true,"test_loss":0.25,"product":"abc"}
{"stage":"d","epoch":2,"lo)");
  const Json phases = ReadPhases(run_);
  ASSERT_EQ(phases.size(), 3u);
  EXPECT_EQ(phases[0]["layer"], "h1");
  EXPECT_EQ(phases[0]["epoch"], Json({1, 2}));
  EXPECT_EQ(phases[0]["values"]["error"], Json({0.5, 0.4}));
  // What an epoch lacks is null: columns are of one length.
  EXPECT_EQ(phases[0]["values"]["late"], Json({nullptr, 1}));
  // Rows of numbers are no curve; a line that is being written is none yet.
  EXPECT_EQ(phases[2]["epoch"], Json({1}));
  EXPECT_FALSE(phases[2]["values"].contains("series"));
  const Json finished = ReadFinished(run_);
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0]["test_loss"], 0.25);
}

TEST_F(RunLogTest, TellsAStageDoneAgainFromOneContinued) {
  Write("metrics.jsonl", R"({"stage":"d","epoch":1,"loss":3}
{"stage":"d","epoch":2,"loss":2}
{"stage":"d","epoch":3,"loss":1}
{"stage":"d","epoch":1,"loss":9}
{"stage":"d","epoch":2,"loss":8}
)");
  const Json phases = ReadPhases(run_);
  ASSERT_EQ(phases.size(), 2u);
  EXPECT_EQ(phases[0]["epoch"], Json({1, 2, 3}));
  EXPECT_EQ(phases[0]["again"], 1);
  EXPECT_EQ(phases[1]["values"]["loss"], Json({9, 8}));
  EXPECT_EQ(phases[1]["again"], 2);
}

TEST_F(RunLogTest, ThinsHistogramsOutEvenly) {
  std::string text;
  for (int epoch = 1; epoch <= 100; ++epoch) {
    absl::StrAppend(&text, R"({"stage":"d","epoch":)", epoch,
                    R"(,"histograms":[{"name":"w","kind":"weight","low":0,)",
                    R"("high":1,"counts":[)", epoch, "]}]}\n");
  }
  Write("histograms.jsonl", text);
  const Json tensors = ReadHistograms(run_, 4);
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0]["name"], "w");
  const Json& epochs = tensors[0]["epochs"];
  ASSERT_EQ(epochs.size(), 4u);
  EXPECT_EQ(epochs[0]["epoch"], 1);
  EXPECT_EQ(epochs[3]["epoch"], 100);
  EXPECT_EQ(epochs[3]["counts"], Json({100}));
  EXPECT_TRUE(ReadHistograms(run_ + "/nowhere").empty());
}

TEST(ReportPage, IsWholeAndHoldsItsDataAsText) {
  const Json data = {{"runs", Json::array({{{"name", "</script><b>"}}})}};
  const std::string page = ReportPage(data);
  EXPECT_EQ(page.find("@DATA@"), std::string::npos);
  EXPECT_EQ(page.find("@STYLE@"), std::string::npos);
  EXPECT_EQ(page.find("@SCRIPT@"), std::string::npos);
  EXPECT_EQ(page.find("</script><b>"), std::string::npos);
  const std::string mark = R"(<script type="application/json" id="data">)";
  const size_t from = page.find(mark) + mark.size();
  const std::string text =
      page.substr(from, page.find("</script>", from) - from);
  const Json held = Json::parse(text, nullptr, false);
  EXPECT_EQ(held["runs"][0]["name"], "</script><b>");
  EXPECT_EQ(held["live"], false);
  // Nothing is fetched from anywhere.
  for (const char* other : {"http://", "https://", "src="}) {
    size_t at = page.find(other);
    if (at != std::string::npos &&
        page.compare(at, 21, "http://www.w3.org/200") == 0) {
      at = page.find(other, at + 1);
    }
    EXPECT_EQ(at, std::string::npos) << page.substr(at, 80);
  }
}

}  // namespace
}  // namespace tamer
