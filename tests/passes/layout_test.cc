#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

// A residual chain of convolutions between a plain input and a plain end.
constexpr char kConvolutions[] = R"(
  input { name: "x" shape: [2, 3, 1] }
  node { name: "a" input: "x" op { [op/Conv2D] { filters: 4 kernel: 3 padding: SAME } } }
  node { name: "b" input: "a" op { [op/Tanh] {} } }
  node { name: "c" input: "b" op { [op/Conv2D] { filters: 4 kernel: 3 padding: SAME activation: SIGMOID } } }
  node { name: "sum" input: "b" input: "c" op { [op/Add] {} } }
  node { name: "both" input: "sum" input: "c" op { [op/Concat] { axis: 1 } } }
  node { name: "d" input: "both" op { [op/Conv2D] { filters: 3 kernel: [2, 1] } } }
  node { name: "flat" input: "d" op { [op/Flatten] {} } }
  node { name: "y" input: "flat" op { [op/Dense] { units: 3 } } }
  output: "y")";

class LayoutTest : public PassesTest {
 protected:
  std::map<std::string, std::vector<float>> Train(const Graph& graph) {
    Variables variables;
    auto plan = Compile(graph, &variables);
    momentum_ = 0.5f;
    for (int step = 0; step < 5; ++step) Run(*plan, step);
    std::map<std::string, std::vector<float>> values;
    for (const auto& entry : variables.all()) {
      values[entry.first] = Values(variables, entry.first);
    }
    return values;
  }

  // The nodes that reorder, by name.
  static std::vector<std::string> Reorders(const Graph& graph) {
    std::vector<std::string> names;
    for (const Node& node : graph.nodes()) {
      if (node.op->name() == "Reorder") names.push_back(node.name);
    }
    return names;
  }

  static std::string ShapeOf(const Graph& graph, const std::string& value) {
    return graph.value(graph.FindValue(value)).type.shape.ToString();
  }
};

using Names = std::vector<std::string>;

TEST_F(LayoutTest, NoReorderStandsInsideAChainOfConvolutions) {
  const auto graph = Layout(Parse(kConvolutions));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Reorders(*graph), (Names{"reorder/x", "reorder/d"}));
  EXPECT_EQ(ShapeOf(*graph, "a"), "[B, 3, 1, 4]");
  EXPECT_EQ(ShapeOf(*graph, "both"), "[B, 3, 1, 8]");
  EXPECT_EQ(ShapeOf(*graph, "a/weight"), "[4, 2, 3, 3]");
  EXPECT_EQ(ShapeOf(*graph, "flat"), "[B, 6]");
}

TEST_F(LayoutTest, TrainingGivesTheSame) {
  const auto graph = Finetune(
      Parse(kConvolutions), Loss("SoftmaxCrossEntropy"),
      Proto<SolverDef>("nesterov { learning_rate: 0.1 momentum: 0.5 }"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto arranged = Layout(*graph);
  ASSERT_TRUE(arranged.ok()) << arranged.status();
  // There and back: the data, the end, and the end's gradient.
  EXPECT_EQ(Reorders(*arranged).size(), 3u);
  const auto expected = Train(*graph), seen = Train(*arranged);
  ASSERT_EQ(expected.size(), seen.size());
  for (const auto& entry : expected) {
    const std::vector<float>& values = seen.at(entry.first);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(values[i], entry.second[i], 2e-5) << entry.first << " " << i;
    }
  }
}

TEST_F(LayoutTest, AgainChangesNothing) {
  const auto once = Layout(Parse(kConvolutions));
  ASSERT_TRUE(once.ok());
  EXPECT_EQ(PrintGraph(*Layout(*once)), PrintGraph(*once));
  const auto again = ParseGraph(PrintGraph(*once), "again", &registry_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(PrintGraph(*again), PrintGraph(*once));
}

TEST_F(LayoutTest, AnImageThatIsTheResultKeepsItsOrder) {
  const auto graph = Layout(Parse(R"(
    input { name: "x" shape: [2, 3, 1] }
    node { name: "a" input: "x" op { [op/Conv2D] { filters: 4 kernel: 1 } } }
    node { name: "y" input: "a" op { [op/Conv2D] { filters: 4 kernel: 1 } } }
    output: "y")"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(ShapeOf(*graph, "y"), "[B, 4, 3, 1]");
  EXPECT_EQ(Reorders(*graph), (Names{"reorder/x", "reorder/a"}));
}

TEST_F(LayoutTest, WhatIsSpreadOverAnImageKeepsItsOrder) {
  const auto graph = Layout(Parse(R"(
    input { name: "x" shape: [2, 3, 1] }
    node { name: "a" input: "x" op { [op/Conv2D] { filters: 4 kernel: 1 } } }
    node { name: "one" op { [op/Constant] { value: 2 } } }
    node { name: "b" input: "a" input: "one" op { [op/Mul] {} } }
    node { name: "row" op { [op/Constant] { shape: [3, 1] value: 2 } } }
    node { name: "c" input: "b" input: "row" op { [op/Mul] {} } }
    node { name: "y" input: "c" op { [op/Flatten] {} } }
    output: "y")"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(ShapeOf(*graph, "b"), "[B, 3, 1, 4]");
  EXPECT_EQ(ShapeOf(*graph, "c"), "[B, 4, 3, 1]");
  EXPECT_EQ(Reorders(*graph), (Names{"reorder/x", "reorder/b"}));
}

TEST_F(LayoutTest, WithoutConvolutionsNothingIsTurned) {
  const Graph plain = Parse(kNetwork);
  EXPECT_EQ(PrintGraph(*Layout(plain)), PrintGraph(plain));
}

}  // namespace
}  // namespace tamer
