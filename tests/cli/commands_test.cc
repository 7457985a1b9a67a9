// The tamer command as its users call it, on a little real data.

#include <signal.h>
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
#include "gtest/gtest.h"

namespace tamer {
namespace {

using Json = nlohmann::json;

constexpr char kTamer[] = "tools/tamer";
constexpr char kData[] = "/usr/share/datasets/fashion-mnist/";

struct Outcome {
  int code = -1;
  std::string text;
};

Outcome Shell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  while (size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
    outcome.text.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

Outcome Tamer(const std::string& arguments) {
  return Shell(absl::StrCat(kTamer, " ", arguments));
}

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The folder's name of a stage's product, which tells its content.
std::string ProductName(const std::string& run, const std::string& stage) {
  const Outcome listed =
      Shell(absl::StrCat("cd ", run, " && ls -d ", stage, "-*.product"));
  return listed.code == 0 ? listed.text : "";
}

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    std::string pattern = ::testing::TempDir() + "/commandsXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    std::ofstream(folder_ + "/network.pbtxt") << R"(name: "net"
      input { name: "pixels" shape: [784] }
      node { name: "h1" input: "pixels" op { [op/Dense] { units: 100 activation: SIGMOID } } }
      node { name: "logits" input: "h1" op { [op/Dense] { units: 10 } } }
      output: "logits")";
    std::ofstream(Recipe())
        << R"(name: "few"
      graph_file: "network.pbtxt"
      data {
        train { idx { images: ")"
        << kData << R"(train-images-idx3-ubyte.gz"
                      labels: ")"
        << kData << R"(train-labels-idx1-ubyte.gz" } limit: 3000 }
        test { idx { images: ")"
        << kData << R"(t10k-images-idx3-ubyte.gz"
                     labels: ")"
        << kData << R"(t10k-labels-idx1-ubyte.gz" } limit: 1000 }
      }
      stage { name: "features"
        pretrain { layer { node: "h1" rbm {} } epochs: 2 }
        solver { sgd { learning_rate: 0.01 momentum: 0.5 } } }
      stage { name: "labels"
        finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 5 }
        solver { nesterov { learning_rate: 0.02 momentum: 0.9 } } })";
  }
  ~CommandsTest() override {
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }
  void SetUp() override {
    if (access(kData, F_OK) != 0) GTEST_SKIP() << "no Fashion-MNIST here";
  }

  std::string Recipe() { return folder_ + "/recipe.pbtxt"; }
  std::string Run(const std::string& name = "run") {
    return folder_ + "/" + name;
  }
  Outcome Train(const std::string& rest = "") {
    return Tamer(absl::StrCat("train ", Recipe(), " --run ", Run(), " ", rest));
  }

  // A file of the data, copied to where it may be removed.
  std::string Copied(const std::string& name) {
    EXPECT_EQ(Shell(absl::StrCat("cp ", kData, name, " ", folder_)).code, 0);
    return folder_ + "/" + name;
  }

  std::string folder_;
};

TEST_F(CommandsTest, TrainEvalPredict) {
  const Outcome train = Train();
  ASSERT_EQ(train.code, 0) << train.text;
  EXPECT_TRUE(absl::StrContains(train.text, "features/h1  epoch 2/2"));
  EXPECT_TRUE(absl::StrContains(train.text, "), 2 parameters loaded; missing"));
  EXPECT_FALSE(absl::StrContains(train.text, "\r"));  // no bar off a terminal

  const Json eval = Json::parse(Tamer("eval " + Run() + " --json").text);
  EXPECT_EQ(eval["samples"], 1000);
  EXPECT_GT(eval["accuracy"].get<double>(), 0.75);
  // What training said of the test data, to the last digit.
  std::ifstream metrics(Run() + "/metrics.jsonl");
  std::string last;
  for (std::string line; std::getline(metrics, line);) last = line;
  EXPECT_EQ(Json::parse(last)["test_accuracy"], eval["accuracy"]);
  EXPECT_EQ(Json::parse(last)["test_loss"], eval["loss"]);
  int64_t sum = 0;
  double diagonal = 0;
  for (int i = 0; i < 10; ++i) {
    diagonal += eval["confusion"][i][i].get<double>();
    for (int k = 0; k < 10; ++k) sum += eval["confusion"][i][k].get<int64_t>();
  }
  EXPECT_EQ(sum, 1000);
  EXPECT_NEAR(diagonal / 1000, eval["accuracy"].get<double>(), 1e-6);
  const Outcome text = Tamer("eval " + Run() + " --split train");
  EXPECT_TRUE(absl::StrContains(text.text, "3,000 samples")) << text.text;
  EXPECT_TRUE(absl::StrContains(text.text, "confusion")) << text.text;
  EXPECT_TRUE(
      absl::StrContains(Tamer("eval " + Run() + "/features.product").text,
                        "was pretrained and not yet fine-tuned"));

  // Answers as CSV, and as NPY, which is good input again.
  const std::string images = absl::StrCat(kData, "t10k-images-idx3-ubyte.gz");
  const std::string csv = folder_ + "/a.csv", npy = folder_ + "/a.npy";
  ASSERT_EQ(
      Tamer(absl::StrCat("predict ", Run(), " ", images, " --output ", csv))
          .code,
      0);
  std::ifstream in(csv);
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "class,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9");
  int lines = 0;
  while (std::getline(in, line)) ++lines;
  EXPECT_EQ(lines, 10000);
  ASSERT_EQ(
      Tamer(absl::StrCat("predict ", Run(), " ", images, " --output ", npy))
          .code,
      0);
  EXPECT_EQ(ReadAll(npy).size(), 128u + 10000 * 10 * 4);
}

TEST_F(CommandsTest, AnInterruptedRunSaysHowToGoOnAndDoes) {
  ASSERT_EQ(Train().code, 0);
  const std::string other = Run("interrupted");
  const Outcome cut = Shell(absl::StrCat(
      "timeout --foreground --preserve-status -s INT 1 ", kTamer, " train ",
      Recipe(), " --run ", other, " --set stage.labels.finetune.epochs=5000"));
  EXPECT_EQ(cut.code, 1) << cut.text;
  EXPECT_TRUE(absl::StrContains(cut.text,
                                "stopped and saved; to go on: tamer "
                                "train"))
      << cut.text;
  // The same recipe, cut and continued, ends in the same bytes.
  const std::string third = Run("third");
  for (int i = 0; i < 60; ++i) {
    const Outcome part =
        Shell(absl::StrCat("timeout --foreground --preserve-status -s INT 0.3 ",
                           kTamer, " train ", Recipe(), " --run ", third));
    if (part.code == 0) break;
    // 130: on a busy machine the signal may come before anybody listens.
    ASSERT_TRUE(part.code == 1 || part.code == 130) << part.text;
  }
  ASSERT_EQ(Tamer(absl::StrCat("train ", Recipe(), " --run ", third)).code, 0);
  EXPECT_EQ(ProductName(Run(), "labels"), ProductName(third, "labels"));
}

TEST_F(CommandsTest, AKilledRunGoesOnToo) {
  ASSERT_EQ(Train().code, 0);
  const std::string other = Run("killed");
  const std::string command =
      absl::StrCat(kTamer, " train ", Recipe(), " --run ", other,
                   " --set checkpoint_every_seconds=0.01");
  for (const char* seconds : {"0.05", "0.1", "0.15", "0.2", "0.3", "0.4"}) {
    Shell(absl::StrCat("timeout -s KILL ", seconds, " ", command));
  }
  const Outcome last = Shell(command);
  ASSERT_EQ(last.code, 0) << last.text;
  EXPECT_EQ(ProductName(Run(), "labels"), ProductName(other, "labels"));
}

TEST_F(CommandsTest, ATerminalGetsAProgressBar) {
  const Outcome outcome = Shell(
      absl::StrCat("script -qec '", kTamer, " train ", Recipe(), " --run ",
                   Run(), " --set stage.labels.finetune.epochs=20' /dev/null"));
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_TRUE(absl::StrContains(outcome.text, "\r")) << outcome.text;
  EXPECT_TRUE(absl::StrContains(outcome.text, " left")) << outcome.text;
}

TEST_F(CommandsTest, TrainJsonAndNewRuns) {
  const Outcome first = Train("--json --set stage.labels.finetune.epochs=1");
  ASSERT_EQ(first.code, 0) << first.text;
  const Json json = Json::parse(first.text);
  EXPECT_EQ(json["finished"], true);
  EXPECT_EQ(json["stages"][1]["stage"], "labels");
  EXPECT_GT(json["stages"][1]["test_accuracy"].get<double>(), 0.5);
  const Outcome refused = Train();
  EXPECT_EQ(refused.code, 1);
  EXPECT_TRUE(absl::StrContains(refused.text, "--new")) << refused.text;
  const Outcome fresh = Train("--new --set stage.labels.finetune.epochs=1");
  EXPECT_EQ(fresh.code, 0);
  EXPECT_NE(ProductName(Run() + "-2", "labels"), "");
  std::ifstream metrics(Run() + "/metrics.jsonl");
  int lines = 0;
  for (std::string line; std::getline(metrics, line); ++lines) {
    EXPECT_TRUE(Json::parse(line).contains("stage"));
  }
  EXPECT_EQ(lines, 2 + 1 + 1 + 1);
}

// A pretrained product, shown in all the ways there are.
TEST_F(CommandsTest, ProductsAreListedComparedShownAndExported) {
  ASSERT_EQ(Train().code, 0);
  const Outcome more =
      Train("--continue-stage features --set data.train.skip=1000 --json");
  ASSERT_EQ(more.code, 0) << more.text;
  const Json products = Json::parse(Tamer("products --json " + Run()).text);
  ASSERT_EQ(products.size(), 3u);
  EXPECT_EQ(products[1]["generation"], 2);
  EXPECT_EQ(products[1]["parent"], products[0]["id"]);
  EXPECT_GT(products[2]["metrics"]["test_accuracy"], 0.5);
  const std::string first = products[0]["path"];
  const Outcome tree = Tamer("products " + Run());
  EXPECT_TRUE(absl::StrContains(tree.text, "`- features")) << tree.text;
  EXPECT_TRUE(absl::StrContains(tree.text, "`- labels"));

  const Json diff = Json::parse(
      Tamer("diff --json " + first + " " + Run() + "/features").text);
  EXPECT_GT(diff["parameters"]["h1/weight"]["difference"], 0.0);
  EXPECT_EQ(diff["recipe"]["b"].size(), 1u) << diff["recipe"];
  EXPECT_TRUE(
      absl::StrContains(Tamer("diff " + first + " " + first).text, "same"));
  const Json described =
      Json::parse(Tamer("describe --json " + Run() + "/features").text);
  EXPECT_EQ(described["product"]["generation"], 2);

  const std::string h1 = folder_ + "/h1";
  const Outcome features = Tamer("features " + Run() +
                                 "/features --layer h1 --split test --output " +
                                 h1 + ".npy --filters " + h1 + ".png");
  EXPECT_EQ(features.code, 0) << features.text;
  EXPECT_EQ(ReadAll(h1 + ".png").substr(1, 3), "PNG");
  EXPECT_TRUE(absl::StrContains(ReadAll(h1 + ".npy"), "(1000, 100)"));
  const Outcome dreams = Tamer("generate " + Run() +
                               "/features --samples 7 --steps 5 --start data "
                               "--output " +
                               h1 + "dreams.npy");
  EXPECT_EQ(dreams.code, 0) << dreams.text;
  EXPECT_TRUE(absl::StrContains(ReadAll(h1 + "dreams.npy"), "(7, 784)"));
  const Outcome sheet = Tamer("generate " + Run() +
                              "/features --samples 7 "
                              "--steps 5 --output " +
                              h1 + "dreams.png");
  EXPECT_EQ(ReadAll(h1 + "dreams.png").substr(1, 3), "PNG") << sheet.text;
  const Json likelihood =
      Json::parse(Tamer("likelihood --json --chains 20 --temperatures 50 " +
                        Run() + "/features")
                      .text);
  EXPECT_LT(likelihood["train_log_probability"], 0.0);
  EXPECT_LE(likelihood["log_partition_low"], likelihood["log_partition"]);

  const Outcome exported =
      Tamer("export " + Run() + " " + folder_ + "/alone --json");
  ASSERT_EQ(exported.code, 0) << exported.text;
  const std::string alone = Json::parse(exported.text)["output"];
  EXPECT_EQ(
      ReadAll(alone + "/tensors.safetensors"),
      ReadAll(products[2]["path"].get<std::string>() + "/tensors.safetensors"));
  EXPECT_EQ(Tamer("export " + Run() + " " + folder_ + "/x.safetensors").code,
            0);
}

TEST_F(CommandsTest, ExportInBytesKeepsTheAccuracy) {
  ASSERT_EQ(Train().code, 0);
  const std::string small = folder_ + "/small";
  const Outcome exported =
      Tamer(absl::StrCat("export ", Run(), " ", small, " --int8 --json"));
  ASSERT_EQ(exported.code, 0) << exported.text;
  const Json json = Json::parse(exported.text);
  EXPECT_NEAR(json["before"]["test_accuracy"].get<double>(),
              json["after"]["test_accuracy"].get<double>(), 0.005);
  EXPECT_LT(3.5 * json["after"]["bytes"].get<double>(),
            json["before"]["bytes"].get<double>());
  const Outcome again =
      Tamer(absl::StrCat("export ", Run(), " ", small, " --int8"));
  EXPECT_TRUE(absl::StrContains(again.text, "before: test_loss")) << again.text;
  EXPECT_TRUE(absl::StrContains(
      again.text, absl::StrCat("written: ", json["output"].get<std::string>())))
      << again.text;

  // The product is one as any other.
  const std::string product = small + "/labels";
  const std::string data =
      absl::StrCat(" --data 'idx { images: \"", kData,
                   "t10k-images-idx3-ubyte.gz\" labels: \"", kData,
                   "t10k-labels-idx1-ubyte.gz\" } limit: 1000' ");
  const Outcome eval = Tamer(absl::StrCat("eval ", product, data, " --json"));
  ASSERT_EQ(eval.code, 0) << eval.text;
  EXPECT_EQ(Json::parse(eval.text)["accuracy"], json["after"]["test_accuracy"]);
  const Json described = Json::parse(Tamer("describe --json " + product).text);
  EXPECT_EQ(described["nodes"][0]["op"], "QuantizedDense");
  EXPECT_EQ(described["parameter_bytes"], json["after"]["bytes"]);
  EXPECT_EQ(described["product"]["metrics"]["test_accuracy"],
            json["after"]["test_accuracy"]);
  EXPECT_EQ(Tamer(absl::StrCat("predict ", product, " ", kData,
                               "t10k-images-idx3-ubyte.gz --output ", folder_,
                               "/int8.csv"))
                .code,
            0);
  EXPECT_EQ(Tamer(absl::StrCat("diff ", Run(), " ", product)).code, 0);
  EXPECT_EQ(Tamer(absl::StrCat("features ", product, data, " --layer h1 ",
                               "--output ", folder_, "/int8.npy"))
                .code,
            0);
  EXPECT_EQ(Tamer(absl::StrCat("export ", product, " ", folder_, "/copy")).code,
            0);
}

TEST_F(CommandsTest, ExportInBytesSaysWhatItLacks) {
  ASSERT_EQ(Train("--set stage.labels.finetune.epochs=1").code, 0);
  const auto told = [&](const std::string& rest) {
    return Tamer(absl::StrCat("export ", Run(), " ", rest));
  };
  EXPECT_TRUE(absl::StrContains(told(Run() + " --int8").text,
                                "is a run directory; export to a folder of"));
  EXPECT_EQ(told(folder_ + "/x --data 'npy {}'").code, 2);
  // Elsewhere than the data that it was trained on.
  ASSERT_EQ(Tamer(absl::StrCat("train ", Recipe(), " --run ", Run("gone"),
                               " --set stage.labels.finetune.epochs=1 --set "
                               "data.train.idx.images=",
                               Copied("train-images-idx3-ubyte.gz")))
                .code,
            0);
  ASSERT_EQ(Shell("rm " + folder_ + "/train-images-idx3-ubyte.gz").code, 0);
  const std::string to = Run("gone") + " " + folder_ + "/small --int8";
  const Outcome lost = Tamer("export " + to);
  EXPECT_EQ(lost.code, 1);
  EXPECT_TRUE(absl::StrContains(
      lost.text,
      "--int8 measures each layer's input on the training data, which cannot "
      "be read; name other samples by --data: "))
      << lost.text;
  const Outcome named =
      Tamer(absl::StrCat("export ", to, " --data 'idx { images: \"", kData,
                         "t10k-images-idx3-ubyte.gz\" }'"));
  EXPECT_EQ(named.code, 0) << named.text;
}

TEST_F(CommandsTest, Report) {
  ASSERT_EQ(Train("--set stage.labels.finetune.epochs=2").code, 0);
  const std::string page = folder_ + "/page.html";
  const Outcome made = Tamer("report " + Run() + " --json --output " + page);
  ASSERT_EQ(made.code, 0) << made.text;
  const Json json = Json::parse(made.text);
  EXPECT_EQ(json["bytes"], ReadAll(page).size());
  EXPECT_TRUE(json["notes"].empty()) << made.text;
  const std::string mark = R"(<script type="application/json" id="data">)";
  const auto data = [&] {
    const std::string text = ReadAll(page);
    const size_t from = text.find(mark) + mark.size();
    return Json::parse(text.substr(from, text.find("</script>", from) - from));
  };
  const Json run = data()["runs"][0];
  EXPECT_EQ(run["phases"].size(), 2u);
  EXPECT_EQ(run["phases"][1]["values"]["loss"].size(), 2u);
  EXPECT_EQ(run["products"].size(), 2u);
  EXPECT_EQ(run["filters"].size(), 2u);
  EXPECT_EQ(run["filters"][0]["width"], 28);
  // What the page says of the test data is what eval says.
  const Json eval = Json::parse(Tamer("eval " + Run() + " --json").text);
  EXPECT_EQ(run["confusion"]["confusion"], eval["confusion"]);
  EXPECT_EQ(run["confusion"]["worst"]["images"]["count"],
            run["confusion"]["worst"]["examples"].size());
  // Without the data it is a page all the same, and says what it lacks.
  ASSERT_EQ(
      Shell("sed -i 's,fashion-mnist,gone,' " + Run() + "/run.pbtxt").code, 0);
  ASSERT_EQ(Shell("rm -r " + Run() + "/labels-*.product").code, 0);
  EXPECT_EQ(Tamer("report " + Run() + " --no-pictures --output " + page).code,
            0);
  EXPECT_FALSE(data()["runs"][0].contains("confusion"));
  const Outcome nowhere = Tamer("report " + folder_ + "/nowhere");
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_TRUE(absl::StrContains(nowhere.text, "no run directory"));
  EXPECT_EQ(Tamer("report").code, 2);
}

// Another address than this machine's own cannot even be written.
TEST_F(CommandsTest, WatchTakesPortsAlone) {
  for (const char* port : {"0.0.0.0:80", "0.0.0.0", "70000", "-7", "x"}) {
    EXPECT_EQ(Train(absl::StrCat("--watch=", port)).code, 2) << port;
  }
  const Outcome watched = Train("--watch=0");
  EXPECT_EQ(watched.code, 0) << watched.text;
  EXPECT_TRUE(absl::StrContains(watched.text, "to watch it: http://127.0.0.1:"))
      << watched.text;
}

TEST_F(CommandsTest, GraphDescribeOps) {
  const Outcome graph = Tamer("graph " + Recipe() + " --after features/h1");
  EXPECT_TRUE(absl::StrContains(graph.text, "rbm/h1/visible1")) << graph.text;
  const std::string printed = folder_ + "/printed.pbtxt";
  std::ofstream(printed) << graph.text;
  EXPECT_EQ(Tamer("graph " + printed).text, graph.text);
  EXPECT_TRUE(
      absl::StartsWith(Tamer("graph " + Recipe() + " --dot").text, "digraph"));
  const Json drawn = Json::parse(
      Tamer("graph " + Recipe() + " --after labels --svg --json --output " +
            folder_ + "/labels.svg")
          .text);
  EXPECT_EQ(drawn["format"], "svg");
  const std::string svg = ReadAll(folder_ + "/labels.svg");
  EXPECT_TRUE(absl::StrContains(svg, ">net, labels</text>")) << svg;
  EXPECT_EQ(Tamer("graph " + Recipe() + " --svg --dot").code, 2);
  const Json described = Json::parse(
      Tamer("describe " + Recipe() + " --after labels --batch 7 --json").text);
  EXPECT_EQ(described["batch"], 7);
  EXPECT_EQ(described["nodes"][0]["parameters"], 78500);
  EXPECT_LT(described["planned_bytes"], described["unplanned_bytes"]);
  // Of a recipe, the memory of each stage; of several, that alone.
  const Json stages =
      Json::parse(Tamer("describe " + Recipe() + " --json").text)["stages"];
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[0]["stage"], "infer");
  EXPECT_EQ(stages[1]["stage"], "features/h1");
  EXPECT_EQ(stages[2]["stage"], "labels");
  for (const Json& stage : stages) {
    EXPECT_LT(stage["planned_bytes"], stage["unplanned_bytes"]) << stage;
  }
  EXPECT_EQ(stages[2]["parameter_bytes"], 4 * (78500 + 1010));
  EXPECT_LE(stages[2]["recompute_bytes"], stages[2]["planned_bytes"]);
  EXPECT_FALSE(stages[2]["recompute"]);
  const std::string two = Recipe() + " " + folder_ + "/network.pbtxt";
  const Json memory =
      Json::parse(Tamer("describe --memory --json " + two).text);
  EXPECT_EQ(memory[0]["stages"], stages);
  EXPECT_EQ(memory[1]["stages"].size(), 1u);
  EXPECT_TRUE(
      absl::StrContains(Tamer("describe --memory " + two).text, "recomputing"));
  EXPECT_EQ(Tamer("describe " + two).code, 1);
  const Json ops = Json::parse(Tamer("ops --json").text);
  for (const Json& op : ops) {
    EXPECT_NE(op["doc"], "") << op["name"];
    for (const Json& parameter : op["parameters"]) {
      EXPECT_NE(parameter["doc"], "") << op["name"] << parameter["name"];
    }
  }
  EXPECT_TRUE(absl::StrContains(Tamer("ops Dense").text, "LINEAR|SIGMOID"));
}

TEST_F(CommandsTest, ProfileTellsWhereTimeGoes) {
  const std::string trace = folder_ + "/trace.json";
  const Outcome told = Tamer(
      absl::StrCat("profile ", Recipe(), " --steps 20 --json --trace ", trace));
  ASSERT_EQ(told.code, 0) << told.text;
  const Json json = Json::parse(told.text);
  EXPECT_GT(json["roofline"]["matmul_gflops"].get<double>(), 0);
  EXPECT_EQ(json["roofline"]["levels"].size(), 4u);
  const Json& profile = json["profile"];
  EXPECT_GT(profile["samples_per_second"].get<double>(), 0);
  EXPECT_GT(profile["nodes"].size(), 5u) << "forward, backward and updates";
  EXPECT_EQ(Json::parse(ReadAll(trace))["traceEvents"].size(),
            3 * profile["nodes"].size());
  EXPECT_EQ(Tamer("profile").code, 1);
  EXPECT_EQ(Tamer("profile --batch 0 x").code, 2);
}

}  // namespace
}  // namespace tamer
