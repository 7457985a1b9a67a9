#include "tools/draw/draw.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"
#include "tools/draw/families.h"

namespace tamer {
namespace {

class DrawTest : public ::testing::Test {
 protected:
  DrawTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  Graph Parse(const std::string& text) {
    auto graph = ParseGraph(text, "net.pbtxt", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }

  // What fine-tuning makes of it, without the part that stays frozen.
  Graph Tuned(const Graph& network, const std::string& freeze) {
    FinetuneDef finetune;
    finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
    if (!freeze.empty()) finetune.add_freeze(freeze);
    SolverDef solver;
    solver.mutable_sgd()->set_learning_rate(0.1f);
    auto graph = Finetune(network, finetune, solver);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }

  Graph Small() {
    return Parse(R"(name: "small"
      input { name: "pixels" shape: [784] }
      node { name: "h1" input: "pixels" op { [op/Dense] { units: 500 activation: RELU } } }
      node { name: "drop" input: "h1" op { [op/Dropout] { rate: 0.2 } } }
      node { name: "logits" input: "drop" op { [op/Dense] { units: 10 } } }
      output: "logits")");
  }

  // 5 nodes a block.
  Graph Repeated(int repeat) {
    return Parse(absl::StrCat(R"(name: "deep"
      input { name: "x" shape: [16] }
      block { name: "layer" input: "in"
        node { name: "norm" input: "in" op { [op/LayerNorm] {} } }
        node { name: "up" input: "norm" op { [op/Dense] { units: 64 } } }
        node { name: "act" input: "up" op { [op/Relu] {} } }
        node { name: "down" input: "act" op { [op/Dense] { units: 16 } } }
        node { name: "sum" input: "in" input: "down" op { [op/Add] {} } }
        output: "sum" }
      node { name: "layers" input: "x" block: "layer" repeat: )",
                              repeat, R"( }
      node { name: "logits" input: "layers" op { [op/Dense] { units: 10 } } }
      output: "logits")"));
  }

  static int Count(const std::string& text, const std::string& part) {
    int count = 0;
    for (size_t at = text.find(part); at != std::string::npos;
         at = text.find(part, at + 1)) {
      ++count;
    }
    return count;
  }
  static int Boxes(const std::string& dot) { return Count(dot, " [label="); }

  OpRegistry registry_;
};

TEST_F(DrawTest, EveryBuiltInOpHasAFamily) {
  for (const std::string& name : registry_.Names()) {
    EXPECT_STRNE(FamilyOf(*registry_.Find(name)).name, "plugins") << name;
  }
}

TEST_F(DrawTest, ShowsSettingsParametersAndShapes) {
  const std::string dot = Dot(Small(), {});
  EXPECT_EQ(Boxes(dot), 4) << dot;
  EXPECT_TRUE(absl::StrContains(
      dot, R"(label="h1\nDense · units 500, RELU\n784×500 + 500")"))
      << dot;
  EXPECT_TRUE(absl::StrContains(dot, "label=\"  B×784  \"")) << dot;
  EXPECT_TRUE(absl::StrContains(dot, "Dropout · rate 0.2")) << dot;
  EXPECT_TRUE(absl::StrContains(dot, "3 nodes, 397,510 parameters")) << dot;
  // Nothing is trained yet, so nothing is called frozen.
  EXPECT_FALSE(absl::StrContains(dot, "frozen")) << dot;
}

TEST_F(DrawTest, TellsTrainedFromFrozen) {
  const std::string dot = Dot(Tuned(Small(), "h1"), {});
  EXPECT_TRUE(absl::StrContains(dot, "784×500 + 500\\nfrozen")) << dot;
  EXPECT_TRUE(absl::StrContains(dot, "500×10 + 10\\ntrained")) << dot;
  EXPECT_TRUE(absl::StrContains(dot, "label=\"gradients\"")) << dot;
  EXPECT_TRUE(absl::StrContains(dot, "label=\"updates, by learning_rate"))
      << dot;
  EXPECT_EQ(Count(Dot(Tuned(Small(), ""), {}), "\\nfrozen"), 0);
}

TEST_F(DrawTest, DrawsEqualBlocksOnce) {
  const std::string dot = Dot(Repeated(100), {});
  EXPECT_EQ(Boxes(dot), 1 + 5 + 1) << dot;
  EXPECT_TRUE(absl::StrContains(dot, "layers.0 – layers.99  (100 times)"));
  EXPECT_TRUE(absl::StrContains(dot, "501 nodes"));
  // To the next block's norm, and to its sum.
  EXPECT_EQ(Count(dot, "class=repeat"), 2) << dot;
  // What is not the same in all of them parts them.
  const std::string tuned = Dot(Tuned(Repeated(4), "layers.0"), {2, true});
  EXPECT_TRUE(absl::StrContains(tuned, "layers.1 – layers.3  (3 times)"))
      << tuned;
}

TEST_F(DrawTest, CollapsesWhatIsDeeperThanAsked) {
  const std::string all = Dot(Repeated(100), {1, false});
  EXPECT_EQ(Boxes(all), 1 + 500 + 1);
  EXPECT_EQ(Count(all, "subgraph cluster_"), 100);
  const std::string flat = Dot(Repeated(100), {0, false});
  EXPECT_EQ(Boxes(flat), 1 + 100 + 1);
  EXPECT_TRUE(absl::StrContains(flat, "layers.7\\n5 nodes\\n2,160 parameters"))
      << flat;
  EXPECT_EQ(Boxes(Dot(Repeated(100), {0, true})), 1 + 1 + 1);
  // By itself it shows no more than can be read.
  EXPECT_LE(Boxes(Dot(Tuned(Repeated(100), ""), {})), 80);
}

TEST_F(DrawTest, SvgIsWhole) {
  const Graph graph = Tuned(Small(), "");
  const auto svg = Svg(graph, {});
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_TRUE(absl::StrContains(*svg, "<svg "));
  EXPECT_TRUE(absl::EndsWith(*svg, "</svg>\n"));
  EXPECT_EQ(Count(*svg, "class=\"node\"") + Count(*svg, "class=\"node "),
            Boxes(Dot(graph, {})));
  EXPECT_TRUE(absl::StrContains(*svg, ">784×500 + 500</text>"));
  EXPECT_TRUE(absl::StrContains(*svg, "prefers-color-scheme: dark"));
  // Drawing again is as good as drawing first.
  EXPECT_EQ(Svg(graph, {})->size(), svg->size());
  // Names may be anything that a file can hold.
  Graph odd = Small();
  odd.set_name("a \"b\" <c> & d\\n");
  const auto drawn = Svg(odd, {});
  ASSERT_TRUE(drawn.ok()) << drawn.status();
  EXPECT_TRUE(absl::StrContains(*drawn, "&lt;c&gt; &amp; d"));
}

}  // namespace
}  // namespace tamer
