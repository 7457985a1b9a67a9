// Plugins as users meet them: named in recipes, trained, resumed, evaluated,
// and begun from `tamer plugins new`.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kData[] = "/usr/share/datasets/fashion-mnist/";

struct Outcome {
  int code = -1;
  std::string text;
};

Outcome Shell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  while (size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
    outcome.text.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

std::string Here() {
  char* folder = getcwd(nullptr, 0);
  std::string text = folder;
  free(folder);
  return text;
}

// A network of five plugins' ops, its data from a sixth's reader.
constexpr char kNetwork[] = R"(
name: "mixed"
input { name: "pixels" shape: [784] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 120 } } }
node { name: "swish" input: "h1" op { [op/Swish] { beta: 1.5 } } }
node { name: "gate" input: "swish" op { [op/GatedLinear] { units: 80 } } }
node { name: "hard" input: "gate" op { [op/HardSwishOneDnn] {} } }
node { name: "h2" input: "hard" op { [op/Dense] { units: 90 } } }
node { name: "max" input: "h2" op { [op/Maxout] { pieces: 3 } } }
node { name: "logits" input: "max" op { [op/Dense] { units: 10 } } }
output: "logits"
)";

class TrainingTest : public ::testing::Test {
 protected:
  TrainingTest() {
    std::string pattern = ::testing::TempDir() + "/pluginsXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    tamer_ = Here() + "/tools/tamer";
    const Outcome copied = Shell(absl::StrCat(
        "mkdir ", folder_, "/lib && cp plugins/examples/lib*.so ", folder_,
        "/lib && cd ", folder_, " && for f in train-images-idx3 ",
        "train-labels-idx1; do zcat ", kData,
        "$f-ubyte.gz > $f; done && head -c $((16 + 784 * 3000)) "
        "train-images-idx3 > images && head -c 3008 train-labels-idx1 > "
        "labels"));
    EXPECT_EQ(copied.code, 0) << copied.text;
    Write("network.pbtxt", kNetwork);
    Write("recipe.pbtxt",
          Recipe("../" + folder_.substr(folder_.rfind('/') + 1) + "/lib/"));
  }
  ~TrainingTest() override { Shell("rm -rf " + folder_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  static std::string Recipe(const std::string& place) {
    std::string plugins;
    for (const char* name :
         {"swish", "glu", "maxout", "hard_swish", "focal", "lion", "records"}) {
      absl::StrAppend(&plugins, "plugin: \"", place, "lib", name, ".so\"\n");
    }
    return absl::StrCat(
        R"(name: "mixed" checkpoint_every_steps: 30 graph_file: "network.pbtxt" )",
        plugins, R"(
      data {
        train {
          reader { [reader/Records] { samples: "images" header: 16 shape: [28, 28]
                                      labels: "labels" label_header: 8 } }
          limit: 2400
        }
        test {
          reader { [reader/Records] { samples: "images" header: 16 shape: [28, 28]
                                      labels: "labels" label_header: 8 } }
          skip: 2400
        }
      }
      stage {
        name: "labels"
        finetune { loss { [op/FocalLoss] { gamma: 1.5 } } epochs: 10
                   metric { [op/Confident] { above: 0.8 } } }
        solver { custom { rule { [op/Lion] { beta2: 0.98 } } learning_rate: 0.0005 }
                 weight_decay: 0.01 }
      }
    )");
  }
  Outcome Tamer(const std::string& arguments, const std::string& before = "") {
    return Shell(absl::StrCat("cd ", folder_, " && ", before, " ", tamer_, " ",
                              arguments));
  }
  // The tensors of the newest product.
  std::string Tensors(const std::string& run) {
    const Outcome sum = Shell(
        absl::StrCat("cat ", folder_, "/", run,
                     "/labels-*.product/tensors.safetensors | sha256sum"));
    EXPECT_EQ(sum.code, 0) << sum.text;
    return sum.text;
  }

  std::string folder_, tamer_;
};

TEST_F(TrainingTest, MixedNetworkTrainsAndResumesToTheSameBytes) {
  const Outcome whole = Tamer("train recipe.pbtxt --run whole --json");
  ASSERT_EQ(whole.code, 0) << whole.text;
  const auto json = nlohmann::json::parse(whole.text);
  const auto& stage = json["stages"][0];
  EXPECT_GT(stage["test_accuracy"].get<double>(), 0.7) << whole.text;
  EXPECT_GT(stage["test_confident"].get<double>(), 0.05) << whole.text;
  EXPECT_LT(stage["test_confident"].get<double>(),
            stage["test_accuracy"].get<double>());
  // Killed in the middle, and gone on with: Lion's momentum and step count are
  // in the checkpoint.
  const Outcome cut = Shell(absl::StrCat(
      "cd ", folder_, "; ", tamer_,
      " train recipe.pbtxt --run cut & pid=$!; for i in $(seq 500); do "
      "sleep 0.01; grep -q '\"epoch\":2' cut/metrics.jsonl 2>/dev/null && "
      "break; done; kill -KILL $pid; wait $pid; ls cut"));
  EXPECT_THAT(cut.text, Not(HasSubstr(".product"))) << "it ended before";
  const Outcome again = Tamer("train recipe.pbtxt --run cut");
  EXPECT_EQ(again.code, 0) << again.text;
  EXPECT_THAT(again.text, Not(HasSubstr("epoch 1/10")));
  EXPECT_EQ(Tensors("whole"), Tensors("cut")) << cut.text;
  // Its plugins are found by the product alone.
  const Outcome eval = Tamer("eval whole --split train");
  EXPECT_EQ(eval.code, 0) << eval.text;
  EXPECT_THAT(eval.text, HasSubstr("2,400 samples"));
  const Outcome described = Tamer("describe whole");
  EXPECT_THAT(described.text, HasSubstr("GatedLinear"));
}

TEST_F(TrainingTest, ByNameInTheSearchPath) {
  Write("recipe.pbtxt", Recipe(""));
  const Outcome lost = Tamer("train recipe.pbtxt --run lost");
  EXPECT_EQ(lost.code, 1);
  EXPECT_THAT(lost.text,
              HasSubstr("recipe.pbtxt: plugin libswish.so: not found "
                        "in TAMER_PLUGIN_PATH"));
  const Outcome found = Tamer(
      "train recipe.pbtxt --run found --set "
      "stage.labels.finetune.epochs=1",
      "TAMER_PLUGIN_PATH=lib");
  EXPECT_EQ(found.code, 0) << found.text;
}

TEST_F(TrainingTest, FaultsOfPluginsAreToldAsAnyOthers) {
  Write("network.pbtxt",
        "name: 'n' input { name: 'x' shape: [784] }\n"
        "node { name: 'm' input: 'x' op { [op/Maxout] { pieces: 5 } } }\n"
        "node { name: 's' input: 'm' op { [op/Swish] { beta: 1000 } } }\n"
        "output: 's'\n");
  const Outcome told = Tamer(
      "describe network.pbtxt --plugin lib/libmaxout.so --plugin "
      "lib/libswish.so");
  EXPECT_EQ(told.code, 1);
  EXPECT_THAT(told.text,
              HasSubstr("network.pbtxt:2:1: node \"m\": Maxout: plugin "
                        "libmaxout.so: the last dimension must be a multiple "
                        "of pieces, 5, but the input is [B, 784]"));
  Write("range.pbtxt",
        "name: 'n' input { name: 'x' shape: [784] }\n"
        "node { name: 's' input: 'x' op { [op/Swish] { beta: 1000 } } }\n"
        "output: 's'\n");
  EXPECT_THAT(Tamer("describe range.pbtxt --plugin lib/libswish.so").text,
              HasSubstr("Swish: beta is 1000; it must be 0 to 100"));
  EXPECT_THAT(Tamer("describe network.pbtxt").text,
              HasSubstr("unknown op \"Maxout\""));
  Write("recipe.pbtxt", Recipe("./lib/"));
  EXPECT_THAT(Tamer("train recipe.pbtxt --run x --set "
                    "stage.labels.solver.custom.learning_rate=-1")
                  .text,
              HasSubstr("learning_rate is -1"));
  Write("network.pbtxt", kNetwork);
  Shell("truncate -s 5000 " + folder_ + "/images");
  EXPECT_THAT(Tamer("train recipe.pbtxt --run x").text,
              HasSubstr("reader Records: images: 4984 bytes after the header "
                        "are not a multiple of 784"));
}

TEST_F(TrainingTest, ListShowsWhatThereIs) {
  Shell("echo no > " + folder_ + "/lib/libbad.so");
  const Outcome list = Tamer("plugins list --json", "TAMER_PLUGIN_PATH=lib");
  ASSERT_EQ(list.code, 0) << list.text;
  const auto json = nlohmann::json::parse(list.text);
  EXPECT_EQ(json.size(), 8u);
  bool lion = false, bad = false;
  for (const auto& plugin : json) {
    lion = lion || plugin.value("updates", nlohmann::json::array()) ==
                       nlohmann::json::array({"Lion"});
    bad = bad || plugin.contains("error");
  }
  EXPECT_TRUE(lion && bad) << list.text;
  EXPECT_THAT(Tamer("ops Swish --plugin lib/libswish.so").text,
              HasSubstr("Steepness of the sigmoid."));
}

// A new user's way: a skeleton, built with plain g++, checked, trained.
TEST_F(TrainingTest, NewWritesAWorkingPlugin) {
  const Outcome made = Tamer("plugins new LeakyThing");
  ASSERT_EQ(made.code, 0) << made.text;
  EXPECT_EQ(Tamer("plugins new LeakyThing").code, 1) << "it is there already";
  EXPECT_EQ(Tamer("plugins new leaky").code, 1);
  const Outcome built =
      Tamer("--version && TAMER=" + tamer_ + " ./leaky_thing/build.sh");
  EXPECT_EQ(built.code, 0) << built.text;
  EXPECT_THAT(built.text, HasSubstr(" 0 failed"));
  const Outcome described = Tamer(
      "describe leaky_thing/network.pbtxt --plugin "
      "leaky_thing/libleaky_thing.so");
  EXPECT_EQ(described.code, 0) << described.text;
  EXPECT_THAT(described.text, HasSubstr("LeakyThing"));
}

}  // namespace
}  // namespace tamer
