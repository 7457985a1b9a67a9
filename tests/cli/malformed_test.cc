// What the tamer command does with bad input: a clear error, exit code 1 or 2,
// nothing written. Each case is a whole process, so a crash shows too.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

constexpr char kTamer[] = "tools/tamer";

struct Outcome {
  int code = -1;  // -1: ended by a signal
  std::string text;
};

Outcome RunCommand(const std::string& arguments) {
  const std::string command =
      absl::StrCat("timeout 120 ", kTamer, " ", arguments, " 2>&1");
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer;
  while (size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
    outcome.text.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

std::string BigEndian(std::vector<uint32_t> values) {
  std::string text;
  for (uint32_t value : values) {
    for (int shift : {24, 16, 8, 0}) {
      text.push_back(static_cast<char>(value >> shift));
    }
  }
  return text;
}

constexpr char kNetwork[] = R"(input { name: "x" shape: [4] }
node { name: "h" input: "x" op { [op/Dense] { units: 3 activation: SIGMOID } } }
node { name: "y" input: "h" op { [op/Dense] { units: 2 } } }
output: "y"
)";

constexpr char kRecipe[] = R"(name: "r"
graph_file: "network.pbtxt"
data { train { idx { images: "images" labels: "labels" } } }
stage {
  name: "s"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }
  solver { nesterov { learning_rate: 0.1 momentum: 0.9 } }
}
)";

class MalformedTest : public ::testing::Test {
 protected:
  MalformedTest() {
    std::string pattern = ::testing::TempDir() + "/malformedXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    Write("network.pbtxt", kNetwork);
    Write("recipe.pbtxt", kRecipe);
    Write("images", BigEndian({0x803, 4, 2, 2}) + std::string(16, '\x30'));
    Write("labels", BigEndian({0x801, 4}) + std::string("\0\1\0\1", 4));
  }
  ~MalformedTest() override {
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }

  std::string Path(const std::string& name) { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(Path(name), std::ios::binary) << content;
  }

  // Trains, expecting an error that holds `part`, and no run directory.
  void ExpectTrainError(const std::string& part,
                        const std::string& options = "") {
    const Outcome outcome = RunCommand(absl::StrCat(
        "train ", Path("recipe.pbtxt"), " --run ", Path("run"), " ", options));
    EXPECT_TRUE(outcome.code == 1 || outcome.code == 2)
        << "code " << outcome.code << "\n"
        << outcome.text;
    EXPECT_TRUE(absl::StrContains(outcome.text, part))
        << "expected: " << part << "\nseen: " << outcome.text;
    EXPECT_NE(access(Path("run").c_str(), F_OK), 0) << "a run was left";
  }

  // The same with some of the network or the recipe replaced.
  void ExpectNetworkError(const std::string& from, const std::string& to,
                          const std::string& part) {
    const std::string text = absl::StrReplaceAll(kNetwork, {{from, to}});
    ASSERT_NE(text, kNetwork);
    SCOPED_TRACE(text);
    Write("network.pbtxt", text);
    ExpectTrainError(part);
  }
  void ExpectRecipeError(const std::string& from, const std::string& to,
                         const std::string& part) {
    const std::string text = absl::StrReplaceAll(kRecipe, {{from, to}});
    ASSERT_NE(text, kRecipe);
    SCOPED_TRACE(text);
    Write("recipe.pbtxt", text);
    ExpectTrainError(part);
  }
  void ExpectDataError(const std::string& file, const std::string& content,
                       const std::string& part) {
    Write(file, content);
    ExpectTrainError(part);
    Write("images", BigEndian({0x803, 4, 2, 2}) + std::string(16, '\x30'));
    Write("labels", BigEndian({0x801, 4}) + std::string("\0\1\0\1", 4));
  }

  std::string folder_;
};

TEST_F(MalformedTest, TheGoodCaseWorks) {
  const Outcome outcome = RunCommand(
      absl::StrCat("train ", Path("recipe.pbtxt"), " --run ", Path("run")));
  EXPECT_EQ(outcome.code, 0) << outcome.text;
}

TEST_F(MalformedTest, Networks) {
  ExpectNetworkError("units: 3", "unitz: 3",
                     "network.pbtxt:2:47: node \"h\": Dense has no parameter "
                     "\"unitz\"; did you mean \"units\"?");
  ExpectNetworkError("units: 3", "units: 0",
                     "node \"h\": Dense: units is 0; it must be 1 to");
  ExpectNetworkError("units: 3", "units: -3", "units is -3");
  ExpectNetworkError("units: 3", "units: 99999999999", "units is 99999999999");
  ExpectNetworkError("units: 3", "units: \"three\"", "network.pbtxt:2:");
  ExpectNetworkError("units: 3", "units: 99999999999999999999999",
                     "network.pbtxt:2:");
  ExpectNetworkError("SIGMOID", "SIGMOD", "network.pbtxt:2:");
  ExpectNetworkError("op/Dense] { units: 3", "op/Densee] { units: 3",
                     "unknown op \"Densee\"; did you mean \"Dense\"?");
  ExpectNetworkError("[op/Dense] { units: 3 activation: SIGMOID }", "",
                     "it has no op");
  ExpectNetworkError("name: \"y\"", "nme: \"y\"",
                     "NodeDef has no field \"nme\"; did you mean \"name\"?");
  ExpectNetworkError("name: \"y\"", "name: \"h\"",
                     "the name is taken by another node at line 2");
  ExpectNetworkError("name: \"y\"", "name: \"x\"", "taken by an input");
  ExpectNetworkError("name: \"y\"", "name: \"a:b\"", "a name is letters");
  ExpectNetworkError(
      "input: \"h\"", "input: \"hh\"",
      "input \"hh\" is neither a node nor an input; did you mean "
      "\"h\"?");
  ExpectNetworkError("input: \"h\"", "input: \"h:7\"", "has only h");
  ExpectNetworkError("input: \"h\"", "input: \"y\"",
                     "it depends on itself: y -> y");
  ExpectNetworkError("input: \"x\"", "input: \"y\"", "it depends on itself: ");
  ExpectNetworkError("input: \"h\"", "", "takes 1 input (x), not 0");
  ExpectNetworkError("output: \"y\"", "output: \"z\"",
                     "network.pbtxt:4:1: output \"z\" is neither a node nor an "
                     "input");
  ExpectNetworkError("output: \"y\"", "", "the graph has no output");
  ExpectNetworkError("shape: [4]", "shape: [0]",
                     "network.pbtxt:1:1: input \"x\": the shape [0] has a "
                     "dimension below 1");
  ExpectNetworkError("shape: [4]", "shape: [-4]", "a dimension below 1");
  ExpectNetworkError("shape: [4]", "", "the input must have a batch and");
  ExpectNetworkError("shape: [4]", "shape: [4611686018427387904, 4]",
                     "too large");
  ExpectNetworkError("shape: [4]", "shape: [5]", "(4 numbers)");
  ExpectNetworkError("input {", "format_version: 99 input {",
                     "format_version 99 is newer than this binary's 1");
  ExpectNetworkError("input {", "include: \"network.pbtxt\" input {",
                     "it includes itself");
  ExpectNetworkError("input {", "include: \"nothing.pbtxt\" input {",
                     "No such file");
  ExpectNetworkError("op { [op/Dense] { units: 2 } }", "block: \"b\"",
                     "there is no block \"b\"");
  ExpectNetworkError("output: \"y\"", "output: \"y\" }", "network.pbtxt:");
  ExpectNetworkError("output: \"y\"", "output: \"y", "network.pbtxt:4");
}

TEST_F(MalformedTest, AllFaultsOfANetworkAreToldAtOnce) {
  Write("network.pbtxt", R"(input { name: "x" shape: [4] }
node { name: "a" input: "x" op { [op/Dense] { unitz: 3 units: 3 } } }
node { name: "b" input: "nowhere" op { [op/Dense] { units: 2 } } }
node { name: "c" input: "x" op { [op/Dense] { units: "two" } } }
node { name: "d" input: "c" op { [op/Nothing] {} } }
node { name: "e" input: "x" op { [op/Dense] { units: -1 } } }
output: "a"
)");
  for (const char* part :
       {"network.pbtxt:2:47: node \"a\": Dense has no parameter \"unitz\"",
        "node \"b\": input \"nowhere\"",
        "network.pbtxt:4:54: node \"c\":", "node \"e\": Dense: units is -1"}) {
    ExpectTrainError(part);
  }
}

TEST_F(MalformedTest, HostileTexts) {
  std::string deep = "node { name: \"a\" op { ";
  for (int i = 0; i < 100000; ++i) deep += "[op/Dense] { weight_init { ";
  Write("network.pbtxt", deep);
  ExpectTrainError("network.pbtxt");
  Write("network.pbtxt", std::string(100000, '{'));
  ExpectTrainError("network.pbtxt");
  Write("network.pbtxt", std::string("\0\1\2\3", 4));
  ExpectTrainError("not a text file");
  Write("network.pbtxt", "\xff\xfe garbage \x80");
  ExpectTrainError("network.pbtxt");
  Write("network.pbtxt", "");
  ExpectTrainError("the graph has no output");
  // Ten thousand nodes in a chain, the last one broken.
  std::string chain = "input { name: \"x\" shape: [4] }\n";
  for (int i = 0; i < 10000; ++i) {
    absl::StrAppend(&chain, "node { name: \"n", i, "\" input: \"",
                    i == 0 ? "x" : absl::StrCat("n", i - 1),
                    "\" op { [op/Identity] {} } }\n");
  }
  Write("network.pbtxt", chain + "output: \"n10000\"");
  ExpectTrainError("output \"n10000\" is neither a node nor an input");
  // A cycle of them.
  Write("network.pbtxt",
        absl::StrReplaceAll(chain, {{"input: \"x\"", "input: \"n9999\""}}) +
            "output: \"n1\"");
  ExpectTrainError("it depends on itself");
  // Blocks in blocks in blocks.
  Write("network.pbtxt",
        "input { name: \"x\" shape: [4] } block { name: \"b\" input: \"i\" "
        "node { "
        "name: \"n\" input: \"i\" block: \"b\" } output: \"n\" } node { name: "
        "\"y\" input: \"x\" block: \"b\" } output: \"y\"");
  ExpectTrainError("does \"b\" use itself?");
  Write(
      "network.pbtxt",
      "input { name: \"x\" shape: [4] } block { name: \"b\" input: \"i\" node "
      "{ "
      "name: \"n\" input: \"i\" op { [op/Identity] {} } } output: \"n\" } node "
      "{ name: \"y\" input: \"x\" block: \"b\" repeat: 2000000000 } output: "
      "\"y\"");
  ExpectTrainError("more than 1000000 nodes");
}

TEST_F(MalformedTest, Recipes) {
  ExpectRecipeError("graph_file", "grph_file",
                    "RecipeDef has no field \"grph_file\"; did you mean "
                    "\"graph_file\"?");
  ExpectRecipeError("network.pbtxt", "netwrk.pbtxt", "No such file");
  ExpectRecipeError("learning_rate: 0.1", "learning_rate: nan",
                    "learning_rate is nan; it must be above 0");
  ExpectRecipeError("learning_rate: 0.1", "learning_rate: -1",
                    "learning_rate is -1");
  ExpectRecipeError("learning_rate: 0.1", "learning_rate: inf",
                    "learning_rate is inf");
  ExpectRecipeError("momentum: 0.9", "momentum: 1",
                    "momentum is 1; it must be in [0, 1)");
  ExpectRecipeError("epochs: 1", "epochs: 0", "epochs is 0");
  ExpectRecipeError("epochs: 1", "epochs: -5", "epochs is -5");
  ExpectRecipeError("name: \"r\"", "name: \"r\" batch_size: 0",
                    "batch_size is 0");
  ExpectRecipeError("name: \"r\"", "name: \"r\" batch_size: -1",
                    "batch_size is -1");
  ExpectRecipeError("name: \"r\"", "name: \"../r\"", "without '/'");
  ExpectRecipeError("name: \"r\"", "name: \"r\" format_version: 2",
                    "format_version 2 is newer");
  ExpectRecipeError("name: \"s\"", "name: \"s/t\"", "needs a name without");
  ExpectRecipeError("[op/SoftmaxCrossEntropy] {}", "", "loss");
  ExpectRecipeError("SoftmaxCrossEntropy", "SoftmaxCrosEntropy",
                    "did you mean \"SoftmaxCrossEntropy\"?");
  ExpectRecipeError("[op/SoftmaxCrossEntropy] {}", "[op/Relu] {}",
                    "finetune: node \"loss\": Relu: takes 1 input");
  ExpectRecipeError("[op/SoftmaxCrossEntropy] {}", "[op/Sub] {}",
                    "Sub is not a loss");
  ExpectRecipeError("epochs: 1", "epochs: 1 freeze: \"hh\"",
                    "freeze: there is no node \"hh\"; did you mean \"h\"?");
  ExpectRecipeError("epochs: 1", "epochs: 1 freeze: \"h\" freeze: \"y\"",
                    "there is nothing to train");
  ExpectRecipeError("epochs: 1", "epochs: 1 output: \"z\"",
                    "output names no value \"z\"");
  ExpectRecipeError("epochs: 1", "epochs: 1 clip_norm: nan",
                    "clip_norm is nan");
  ExpectRecipeError("epochs: 1", "epochs: 1 early_stopping {}",
                    "early_stopping needs validation data");
  ExpectRecipeError("solver {", "from: \"t\" solver {",
                    "from names no earlier stage \"t\"");
  ExpectRecipeError(
      "finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }",
      "pretrain { layer { node: \"y\" rbm {} } }",
      "an RBM needs a Dense with activation: SIGMOID");
  ExpectRecipeError(
      "finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }",
      "pretrain { layer { node: \"q\" rbm {} } }", "there is no such node");
  ExpectRecipeError(
      "finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }",
      "pretrain { layer { node: \"h\" rbm { cd_steps: 0 } } }",
      "cd_steps is 0");
  ExpectRecipeError("nesterov { learning_rate: 0.1 momentum: 0.9 }",
                    "nesterov {} schedule { step { every: 0 } }",
                    "step.every is 0");
}

TEST_F(MalformedTest, IdxFiles) {
  const std::string pixels(16, '\x30');
  ExpectDataError("images", "", "cut short");
  ExpectDataError("images", BigEndian({0x803, 4, 2}), "cut short");
  ExpectDataError("images", BigEndian({0x803, 4, 2, 2}) + pixels.substr(1),
                  "cut short: 1 bytes are missing");
  ExpectDataError("images", BigEndian({0x803, 4, 2, 2}) + pixels + "x",
                  "longer than its header says");
  ExpectDataError("images", BigEndian({0x804, 4, 2, 2}) + pixels, "cut short");
  ExpectDataError("images", BigEndian({0xd03, 4, 2, 2}) + pixels,
                  "not an IDX file of images");
  ExpectDataError("images", BigEndian({0x801, 4}) + pixels,
                  "not an IDX file of images");
  ExpectDataError("images", BigEndian({0x803, 0, 2, 2}), "dimension 0 is 0");
  ExpectDataError("images",
                  BigEndian({0x803, 0xffffffff, 0xffffffff, 0xffffffff}),
                  "absurdly large");
  ExpectDataError("images", BigEndian({0x803, 0x10000000, 2, 2}) + pixels,
                  "cut short");
  ExpectDataError("images", "\x1f\x8b\x08 damaged gzip", "images");
  ExpectDataError("images", BigEndian({0x803, 4, 3, 2}) + pixels + pixels,
                  "longer than its header says");
  ExpectDataError("labels", BigEndian({0x801, 3}) + std::string(3, '\0'),
                  "holds 3 labels, but");
  ExpectDataError("labels", BigEndian({0x803, 4, 2, 2}) + pixels,
                  "not an IDX file of labels");
}

TEST_F(MalformedTest, ALabelOutOfRangeStopsTheRun) {
  Write("labels", BigEndian({0x801, 4}) + std::string("\0\1\7\1", 4));
  const Outcome outcome = RunCommand(
      absl::StrCat("train ", Path("recipe.pbtxt"), " --run ", Path("run")));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(
      absl::StrContains(outcome.text, "label 7 is out of range for 2 classes"))
      << outcome.text;
}

TEST_F(MalformedTest, CsvFiles) {
  const auto expect = [&](const std::string& content, const std::string& part) {
    Write("d.csv", content);
    Write("recipe.pbtxt",
          absl::StrReplaceAll(kRecipe,
                              {{"idx { images: \"images\" labels: \"labels\" }",
                                "csv { file: \"d.csv\" }"}}));
    ExpectTrainError(part);
  };
  expect("1,2,3,4,0\n1,2,3,0\n",
         "d.csv:2: 4 columns, but the lines above have 5");
  expect("1,2,x,4,0\n", "d.csv:1: column 3: \"x\" is not a finite number");
  expect("1,2,nan,4,0\n", "is not a finite number");
  expect("1,2,1e999,4,0\n", "is not a finite number");
  expect("1,2,3,4,0.5\n", "column 5: \"0.5\" is not a label");
  expect("1,2,3,4,-1\n", "\"-1\" is not a label");
  expect("1,2,3,4,\n", "\"\" is not a label");
  expect("", "there is no sample in it");
  expect("5\n", "there is no column of features");
  expect("1,2,3,0\n1,2,3,1\n", "but the samples of");
}

TEST_F(MalformedTest, NpyFiles) {
  const auto expect = [&](const std::string& content, const std::string& part) {
    Write("d.npy", content);
    Write("recipe.pbtxt",
          absl::StrReplaceAll(
              kRecipe, {{"idx { images: \"images\" labels: \"labels\" }",
                         "npy { features: \"d.npy\" labels: \"d.npy\" }"}}));
    ExpectTrainError(part);
  };
  const auto npy = [](const std::string& header, const std::string& data) {
    std::string text("\x93NUMPY\x01\x00", 8);
    text += static_cast<char>(header.size());
    text += '\0';
    return text + header + data;
  };
  expect("hello", "not a .npy file");
  expect(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }",
             "short"),
         "its shape needs 32 bytes, but 5 follow");
  expect(
      npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "1234"),
      "Fortran order");
  expect(
      npy("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", "1234"),
      "its type is");
  expect(npy("{'descr': '<f4', 'fortran_order': False, 'shape': "
             "(4611686018427387904, 4), }",
             "1234"),
         "absurdly large");
  expect(
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "1234"),
      "the array has 1 dimensions");
  expect(npy("{}", ""), "its header has no descr");
  expect(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }",
             std::string("\x00\x00\xc0\x7f", 4)),
         "not a finite number");
}

TEST_F(MalformedTest, CommandLines) {
  const auto expect = [](const std::string& arguments, int code,
                         const std::string& part) {
    const Outcome outcome = RunCommand(arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.text;
    EXPECT_TRUE(absl::StrContains(outcome.text, part)) << arguments << "\n"
                                                       << outcome.text;
  };
  expect("", 2, "subcommand");
  expect("trian", 2, "");
  expect("train", 2, "recipe is required");
  expect("train --frobnicate", 2, "");
  expect("train /nowhere/recipe.pbtxt", 1, "No such file");
  expect("train /tmp", 1, "not a file");
  expect("eval /nowhere", 1, "neither a product nor a run directory");
  expect("ops Densee", 1, "did you mean \"Dense\"?");
  expect("graph " + Path("recipe.pbtxt") + " --after nothing", 1,
         "there is no such pass");
  expect("graph " + Path("recipe.pbtxt") + " --format gif", 2, "");
  expect("describe " + Path("network.pbtxt") + " --batch 0", 2, "");
  expect("predict " + folder_ + " x.csv --output y.csv", 1,
         "neither a product");
  expect("predict " + folder_ + " x.csv --output y.gif", 1,
         "must end in .csv or .npy");
  expect("features " + folder_ + " --layer h1", 1, "say what to write");
  expect("features " + folder_ + " --layer h1 --output x.npy", 1,
         "neither a product");
  expect("generate " + folder_ + " --output x.gif", 1,
         "must end in .png or .npy");
  expect("generate " + folder_ + " --output x.png --steps 0", 2, "steps");
  expect("likelihood /nowhere", 1, "neither a product");
  expect("products " + folder_, 1, "there are no products here");
  expect("diff /nowhere /nowhere", 1, "neither a product");
  expect("export /nowhere x", 1, "neither a product");
  expect(
      "train " + Path("recipe.pbtxt") + " --continue-stage a --again-stage b",
      2, "excludes");
  expect("train " + Path("recipe.pbtxt") + " --continue-stage nothing", 1,
         "there is no stage \"nothing\"");
  ExpectTrainError("keep_checkpoints is 0", "--set keep_checkpoints=0");
  ExpectTrainError("skip is -1", "--set data.train.skip=-1");
  ExpectTrainError("expected PATH=VALUE", "--set batch_size");
  ExpectTrainError("did you mean \"batch_size\"?", "--set batch_siz=3");
  expect("--version", 0, "tamer 0.1.0");
  expect("train --help", 0, "Example: tamer train");
}

}  // namespace
}  // namespace tamer
