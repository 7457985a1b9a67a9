// advise, probe and sweep as their users call them, on a little real data.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using Json = nlohmann::json;

constexpr char kData[] = "/usr/share/datasets/fashion-mnist/";

constexpr char kRecipe[] = R"(name: "few"
graph_file: "network.pbtxt"
data {
  train { idx { images: "DATAtrain-images-idx3-ubyte.gz" labels: "DATAtrain-labels-idx1-ubyte.gz" } limit: 3000 }
  test { idx { images: "DATAt10k-images-idx3-ubyte.gz" labels: "DATAt10k-labels-idx1-ubyte.gz" } limit: 1000 }
}
stage {
  name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 }
  # By hand.
  solver { nesterov { learning_rate: 0.01 momentum: 0.9 } }
}
)";

constexpr char kNetwork[] = R"(name: "net"
input { name: "pixels" shape: [784] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 200 activation: RELU } } }
node { name: "logits" input: "h1" op { [op/Dense] { units: 10 } } }
output: "logits"
)";

struct Outcome {
  int code = -1;
  std::string text;
};

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class CraftTest : public ::testing::Test {
 protected:
  CraftTest() {
    std::string pattern = ::testing::TempDir() + "/craftXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    std::ofstream(Path("network.pbtxt")) << kNetwork;
    WriteRecipe("", "");
  }

  std::string Path(const std::string& name) { return folder_ + "/" + name; }

  // With `from` replaced by `to`.
  void WriteRecipe(const std::string& from, const std::string& to) {
    std::string text = absl::StrReplaceAll(kRecipe, {{"DATA", kData}});
    if (!from.empty()) text = absl::StrReplaceAll(text, {{from, to}});
    std::ofstream(Path("recipe.pbtxt")) << text;
  }

  // Standard output alone.
  Outcome Tamer(const std::string& arguments) {
    Outcome outcome;
    const std::string command =
        absl::StrCat("tools/tamer ", arguments, " 2>", Path("errors"));
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    while (size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
      outcome.text.append(buffer.data(), count);
    }
    const int status = pclose(pipe);
    if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
    return outcome;
  }

  std::string folder_;
};

TEST_F(CraftTest, AdviceIsPrintedMendedAndThenGone) {
  WriteRecipe("learning_rate: 0.01", "learning_rate: 7");
  const std::string recipe = Path("recipe.pbtxt");
  const Outcome strict = Tamer("advise --strict " + recipe);
  EXPECT_EQ(strict.code, 1);
  EXPECT_TRUE(absl::StrContains(
      strict.text, "recipe.pbtxt:11:23: warning: labels: learning rate 7"))
      << strict.text;
  const Outcome json = Tamer("advise --json " + recipe);
  EXPECT_EQ(json.code, 0);
  const Json first = Json::parse(json.text)["advice"][0];
  EXPECT_EQ(first["rule"], "high-rate");
  EXPECT_EQ(first["line"], 11);
  EXPECT_EQ(Tamer("advise --fix " + recipe).code, 0);
  const std::string mended = ReadAll(recipe);
  EXPECT_FALSE(absl::StrContains(mended, "learning_rate: 7"));
  EXPECT_TRUE(absl::StrContains(mended, "# By hand."));
  EXPECT_EQ(Tamer("advise --strict " + recipe).code, 0);
}

TEST_F(CraftTest, RulesAreListedAndExplained) {
  EXPECT_GE(Json::parse(Tamer("advise --rules --json").text).size(), 35u);
  const Outcome one = Tamer("advise --explain double-softmax");
  EXPECT_EQ(one.code, 0);
  EXPECT_TRUE(absl::StrContains(one.text, "silence { rule: "));
  EXPECT_EQ(Tamer("advise --explain double-softma").code, 1);
  EXPECT_TRUE(absl::StrContains(ReadAll(Path("errors")),
                                "did you mean \"double-softmax\""));
  EXPECT_EQ(Tamer("advise").code, 2);
}

TEST_F(CraftTest, TrainingWarnsAtItsStart) {
  WriteRecipe("learning_rate: 0.01", "learning_rate: 0.6");
  const Outcome run =
      Tamer(absl::StrCat("train ", Path("recipe.pbtxt"), " --run ", Path("run"),
                         " --set stage.labels.finetune.epochs=1"));
  EXPECT_TRUE(absl::StrContains(run.text, "[high-rate]")) << run.text;
}

TEST_F(CraftTest, TheMonitorNamesDeadUnitsAndCanStopTheRun) {
  // Steps so large that all units fall below zero and stay there; the loss
  // stays finite because the last layer hardly learns.
  WriteRecipe("solver { nesterov { learning_rate: 0.01 momentum: 0.9 } }",
              "solver { sgd { learning_rate: 100 } rate_multiplier { key: "
              "\"logits\" value: 1e-9 } }\n}\nmonitor {\n  stop: true");
  const Outcome run = Tamer(
      absl::StrCat("train ", Path("recipe.pbtxt"), " --run ", Path("run")));
  EXPECT_EQ(run.code, 1);
  const std::string errors = ReadAll(Path("errors"));
  EXPECT_TRUE(absl::StrContains(errors, "after step 300: node \"h1\": "))
      << errors;
  EXPECT_TRUE(absl::StrContains(errors, "rectified units are 0")) << errors;
}

TEST_F(CraftTest, ProbeChoosesARateAppliesItAndGoesOnWhereItWas) {
  WriteRecipe("learning_rate: 0.01", "learning_rate: 3e-6");
  const std::string command = absl::StrCat(
      "probe ", Path("recipe.pbtxt"), " --folder ", Path("probe"), " --json");
  const Outcome first = Tamer(command);
  ASSERT_EQ(first.code, 0) << ReadAll(Path("errors"));
  const Json json = Json::parse(first.text);
  EXPECT_EQ(json["stage"], "labels");
  EXPECT_EQ(json["metric"], "held_out_accuracy");
  EXPECT_EQ(json["path"], "stage.labels.solver.nesterov.learning_rate");
  EXPECT_EQ(json["points"].size(), 3u + 5 + 3 + 3);
  EXPECT_GE(json["range"].size(), 20u);
  // Rates that such a network learns at.
  EXPECT_GT(json["chosen"], 5e-4);
  EXPECT_LT(json["chosen"], 0.1);
  // What ran already is only read.
  const Outcome again = Tamer(command + " --apply");
  EXPECT_EQ(again.text, first.text);
  char rate[64];
  std::snprintf(rate, sizeof(rate), "learning_rate: %.3g momentum: 0.9",
                json["chosen"].get<double>());
  EXPECT_TRUE(absl::StrContains(ReadAll(Path("recipe.pbtxt")), rate));
}

TEST_F(CraftTest, ProbeOfAStageThatStartsFromAnotherSaysWhatItNeeds) {
  WriteRecipe("stage {\n  name: \"labels\"",
              "stage { name: \"features\" pretrain { layer { node: \"h1\" "
              "autoencoder {} } } solver { sgd {} } }\nstage {\n  name: "
              "\"labels\"");
  EXPECT_EQ(Tamer("probe " + Path("recipe.pbtxt")).code, 1);
  EXPECT_TRUE(
      absl::StrContains(ReadAll(Path("errors")), "--from runs/few/features"))
      << ReadAll(Path("errors"));
}

TEST_F(CraftTest, SweepsComparePastAndPresentTrainings) {
  const std::string command = absl::StrCat(
      "sweep ", Path("recipe.pbtxt"), " --folder ", Path("sweep"), " --json ",
      "--set stage.labels.finetune.epochs=1 --over batch_size=10,100 --over ",
      "stage.labels.solver.nesterov.learning_rate=0.01,1e-6");
  const Outcome grid = Tamer(command);
  ASSERT_EQ(grid.code, 0) << ReadAll(Path("errors"));
  const Json json = Json::parse(grid.text);
  EXPECT_EQ(json["metric"], "test_accuracy");
  ASSERT_EQ(json["rows"].size(), 4u);
  EXPECT_EQ(json["rows"][0]["fields"]["stage.labels.solver.nesterov."
                                      "learning_rate"],
            "0.01");
  EXPECT_GT(json["rows"][0]["value"], 0.6);
  EXPECT_LT(json["rows"][3]["value"], 0.4);
  EXPECT_EQ(ReadAll(Path("sweep/results.json")), grid.text);
  EXPECT_EQ(Tamer(command).text, grid.text);
}

TEST_F(CraftTest, HalvingKeepsTheBestThird) {
  const Outcome outcome = Tamer(absl::StrCat(
      "sweep ", Path("recipe.pbtxt"), " --folder ", Path("sweep"),
      " --json --method halving --trials 9 --over ",
      "stage.labels.solver.nesterov.learning_rate=log:1e-6..0.05"));
  ASSERT_EQ(outcome.code, 0) << ReadAll(Path("errors"));
  const Json rows = Json::parse(outcome.text)["rows"];
  ASSERT_EQ(rows.size(), 9u + 3);
  EXPECT_EQ(rows[0]["share"], 1.0);
  EXPECT_EQ(rows[3]["share"].get<double>(), 1.0 / 3);
  EXPECT_GE(rows[0]["value"], rows[2]["value"]);
}

TEST_F(CraftTest, SweepsOfNonsenseAreRefused) {
  const std::string sweep = "sweep " + Path("recipe.pbtxt") + " --over ";
  EXPECT_EQ(Tamer(sweep + "batch_size").code, 1);
  EXPECT_EQ(Tamer(sweep + "batch_siz=10,20").code, 1);
  EXPECT_TRUE(absl::StrContains(ReadAll(Path("errors")), "batch_size"));
  EXPECT_EQ(Tamer(sweep + "batch_size=10..20").code, 1);
  EXPECT_TRUE(absl::StrContains(ReadAll(Path("errors")), "--method random"));
}

}  // namespace
}  // namespace tamer
