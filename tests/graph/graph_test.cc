// Graph text: what is read, expanded and printed. What is refused, and in which
// words, stands in tests/cli/malformed_test.cc.

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

class GraphTest : public ::testing::Test {
 protected:
  GraphTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  absl::StatusOr<Graph> Parse(const std::string& text) {
    return ParseGraph(text, "net.pbtxt", &registry_);
  }
  std::string Error(const std::string& text) {
    return std::string(Parse(text).status().message());
  }

  OpRegistry registry_;
};

constexpr char kMlp[] = R"(
  name: "mlp"
  input { name: "x" shape: [6] }
  node { name: "h" input: "x" op { [op/Dense] { units: 5 activation: SIGMOID } } }
  node { name: "d" input: "h" op { [op/Dropout] { rate: 0.5 } } }
  node { name: "y" input: "d" op { [op/Dense] { units: 3 } } }
  output: "y")";

TEST_F(GraphTest, NamesShapesAndVariables) {
  const auto graph = Parse(kMlp);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->value(graph->FindValue("h")).type.shape, Shape({-1, 5}));
  EXPECT_EQ(graph->value(graph->FindValue("h/weight")).type.shape,
            Shape({6, 5}));
  EXPECT_EQ(graph->value(graph->FindValue("d:1")).index, 1);
  EXPECT_FALSE(graph->variable_spec(graph->FindValue("h/bias")).decay);
  EXPECT_EQ(graph->variables().size(), 4u);
  EXPECT_EQ(graph->node(graph->FindNode("y")).location.line, 6);
}

TEST_F(GraphTest, NodesMayStandInAnyOrder) {
  const auto graph = Parse(R"(
    output: "c" input { name: "x" shape: [2] }
    node { name: "c" input: "b" input: "a" op { [op/Add] {} } }
    node { name: "b" input: "a" op { [op/Relu] {} } }
    node { name: "a" input: "x" op { [op/Tanh] {} } })");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->node(0).name, "a");
  EXPECT_EQ(graph->node(2).name, "c");
}

TEST_F(GraphTest, PrintedGraphsAreReadBack) {
  const auto network = Parse(kMlp);
  FinetuneDef finetune;
  finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
  SolverDef solver;
  solver.mutable_nesterov()->set_momentum(0.9);
  PretrainLayer layer;
  layer.set_node("h");
  layer.mutable_rbm();
  const std::vector<absl::StatusOr<Graph>> graphs = {
      network, Infer(*network), Evaluate(*network, finetune),
      Finetune(*network, finetune, solver), Pretrain(*network, layer, solver)};
  for (const auto& graph : graphs) {
    ASSERT_TRUE(graph.ok()) << graph.status();
    const std::string text = PrintGraph(*graph);
    const auto again = Parse(text);
    ASSERT_TRUE(again.ok()) << again.status() << text;
    EXPECT_EQ(PrintGraph(*again), text);
  }
}

TEST_F(GraphTest, TheBinaryFormIsTheSameGraph) {
  const auto graph = Parse(kMlp);
  const std::string path = ::testing::TempDir() + "/net.pb";
  std::ofstream(path, std::ios::binary) << graph->ToDef().SerializeAsString();
  const auto again = LoadGraph(path, &registry_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(PrintGraph(*again), PrintGraph(*graph));
  std::ofstream(path, std::ios::binary) << "nonsense";
  EXPECT_TRUE(absl::StrContains(LoadGraph(path, &registry_).status().message(),
                                "not a graph in protobuf's binary form"));
}

TEST_F(GraphTest, WindowsLineEndsAndByteOrderMark) {
  std::string text = "\xef\xbb\xbf";
  for (char c : std::string(kMlp))
    text += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_TRUE(Parse(text).ok()) << Parse(text).status();
}

TEST_F(GraphTest, BlocksAreWrittenOut) {
  const auto graph = Parse(R"(
    input { name: "x" shape: [8] }
    block {
      name: "residual" input: "in"
      node { name: "f" input: "in" op { [op/Dense] { units: 8 activation: RELU } } }
      node { name: "sum" input: "f" input: "in" op { [op/Add] {} } }
      output: "sum"
    }
    block {
      name: "pair" input: "in"
      node { name: "a" input: "in" block: "residual" }
      node { name: "b" input: "a" block: "residual" }
      output: "b"
    }
    node { name: "enc" input: "x" block: "residual" repeat: 3 }
    node { name: "top" input: "enc" block: "pair" }
    node { name: "y" input: "top" op { [op/Dense] { units: 2 } } }
    output: "y")");
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<std::string> names;
  for (const Node& node : graph->nodes()) names.push_back(node.name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "enc.0/f", "enc.0/sum", "enc.1/f", "enc.1/sum",
                       "enc.2/f", "enc.2/sum", "top/a/f", "top/a/sum",
                       "top/b/f", "top/b/sum", "y"}));
  const Node& second = graph->node(graph->FindNode("enc.1/f"));
  EXPECT_EQ(graph->value(second.inputs[0]).name, "enc.0/sum");
  EXPECT_EQ(graph->value(graph->node(graph->FindNode("y")).inputs[0]).name,
            "top/b/sum");
  EXPECT_GE(graph->FindValue("enc.2/f/weight"), 0);
  EXPECT_EQ(second.location.line, 5);
}

TEST_F(GraphTest, BlocksAreClosedAndChecked) {
  const std::string block = R"(
    input { name: "x" shape: [8] }
    block { name: "b" input: "in"
      node { name: "f" input: "inn" op { [op/Relu] {} } } output: "f" })";
  EXPECT_TRUE(absl::StrContains(
      Error(block + R"(node { name: "y" input: "x" block: "b" } output: "y")"),
      "net.pbtxt:4:7: node \"y/f\": input \"inn\" is neither a node nor an "
      "input "
      "of the block; did you mean \"in\"?"));
  EXPECT_TRUE(absl::StrContains(
      Error(block + R"(node { name: "y" block: "b" } output: "y")"),
      "block \"b\" takes 1 inputs, not 0"));
  EXPECT_TRUE(absl::StrContains(
      Error(
          block +
          R"(node { name: "y" input: "x" block: "b" repeat: 0 } output: "y")"),
      "repeat is 0"));
}

TEST_F(GraphTest, IncludesAreTakenIn) {
  std::string pattern = ::testing::TempDir() + "/includeXXXXXX";
  const std::string folder = mkdtemp(&pattern[0]);
  std::ofstream(folder + "/trunk.pbtxt") << R"(
    input { name: "x" shape: [4] }
    node { name: "h" input: "x" op { [op/Dense] { units: 3 } } }
    output: "h")";
  std::ofstream(folder + "/net.pbtxt") << R"(
    include: "trunk.pbtxt"
    node { name: "y" input: "h" op { [op/Dense] { units: 2 } } }
    output: "y")";
  const auto graph = LoadGraph(folder + "/net.pbtxt", &registry_);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->nodes().size(), 2u);
  EXPECT_EQ(graph->outputs().size(), 1u);
  EXPECT_TRUE(absl::EndsWith(graph->node(0).location.file, "/trunk.pbtxt"));
}

TEST_F(GraphTest, SharedParametersAreOne) {
  const std::string text = R"(
    input { name: "x" shape: [4] }
    node { name: "a" input: "x" op { [op/Dense] { units: 4 } } }
    node { name: "b" input: "a" share_with: "a" op { [op/Dense] { units: 4 } } }
    output: "b")";
  const auto graph = Parse(text);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->variables().size(), 2u);
  EXPECT_EQ(graph->node(0).variables, graph->node(1).variables);
  std::string other = text;
  other.replace(other.rfind("units: 4"), 8, "units: 5");
  EXPECT_TRUE(absl::StrContains(
      Error(other),
      "cannot share with \"a\": its parameters are weight [4, 4], "
      "bias [4], not weight [4, 5], bias [5]"));
}

TEST_F(GraphTest, TenThousandNodesTakeLittleTime) {
  std::string text = "input { name: \"x\" shape: [4] }\n";
  for (int i = 0; i < 10000; ++i) {
    absl::StrAppend(&text, "node { name: \"n", i, "\" input: \"",
                    i == 0 ? "x" : absl::StrCat("n", i - 1),
                    "\" op { [op/Dense] { units: 4 } } }\n");
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto graph = Parse(text + "output: \"n9999\"");
  ASSERT_TRUE(graph.ok()) << graph.status();
  FinetuneDef finetune;
  finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
  SolverDef solver;
  solver.mutable_sgd();
  const auto trained = Finetune(*graph, finetune, solver);
  ASSERT_TRUE(trained.ok()) << trained.status();
  EXPECT_GT(trained->nodes().size(), 50000u);
  std::printf(
      "10,000 nodes read and differentiated in %.2f s\n",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count());
}

}  // namespace
}  // namespace tamer
