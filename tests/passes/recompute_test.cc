// Values computed again instead of kept: the same bits in less memory.

#include "core/passes/recompute.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/passes/accumulate.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

class RecomputeTest : public PassesTest {
 protected:
  // A deep chain with noise, branches and shared parameters in it.
  Graph Deep(int layers, int units = 16) {
    std::string text = R"(input { name: "x" shape: [6] }
      block { name: "layer" input: "in"
        node { name: "dense" input: "in" op { [op/Dense] { units: )" +
                       std::to_string(units) + R"( } } }
        node { name: "act" input: "dense" op { [op/Tanh] {} } }
        node { name: "drop" input: "act" op { [op/Dropout] { rate: 0.1 } } }
        node { name: "sum" input: "drop" input: "in" op { [op/Add] {} } }
        output: "sum" }
      node { name: "first" input: "x" op { [op/Dense] { units: )" +
                       std::to_string(units) + R"( activation: TANH } } }
      node { name: "deep" input: "first" block: "layer" repeat: )" +
                       std::to_string(layers) + R"( }
      node { name: "again" input: "deep" share_with: "deep.1/dense"
             op { [op/Dense] { units: )" +
                       std::to_string(units) + R"( } } }
      node { name: "y" input: "again" op { [op/Dense] { units: 3 } } }
      output: "y")";
    auto graph = Finetune(Parse(text), Loss("SoftmaxCrossEntropy"),
                          Proto<SolverDef>("nesterov { learning_rate: 0.1 }"));
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }

  Graph Again(const Graph& graph, const std::string& how) {
    auto result = Recompute(graph, Proto<RecomputeDef>(how), 10);
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }

  int64_t Arena(const Graph& graph) {
    Variables variables;
    return Compile(Fuse(graph), &variables)->arena_bytes();
  }

  // All bytes of all variables, and the losses, after some steps.
  std::string Train(const absl::StatusOr<Graph>& graph) {
    Variables variables;
    const auto plan = Compile(graph, &variables);
    rate_ = 0.1f;
    momentum_ = 0.9f;
    std::string bytes;
    const auto append = [&](const Tensor& tensor) {
      bytes.append(static_cast<const char*>(tensor.data), tensor.bytes());
    };
    for (int step = 0; step < 6; ++step) {
      Run(*plan, step);
      append(plan->FindOutput("loss"));
    }
    for (const auto& entry : variables.all()) {
      bytes += entry.first;
      append(entry.second);
    }
    return bytes;
  }

  static int Copies(const Graph& graph) {
    int count = 0;
    for (const Node& node : graph.nodes()) {
      count += absl::StartsWith(node.name, kRecomputed);
    }
    return count;
  }
};

TEST_F(RecomputeTest, TheSameBitsHoweverItIsCut) {
  const Graph graph = Deep(9);
  const std::string plain = Train(Fuse(graph));
  for (const char* how :
       {"", "every: 1", "every: 2", "every: 7", "every: 1000", "node: 'deep'",
        "node: 'deep.3'", "node: 'deep.4/drop' node: 'deep.4/act'",
        "node: 'first'"}) {
    SCOPED_TRACE(how);
    const Graph again = Again(graph, how);
    EXPECT_TRUE(Train(Fuse(again)) == plain);
    EXPECT_TRUE(Train(again) == Train(graph));
    const std::string text = PrintGraph(again);
    const auto parsed = ParseGraph(text, "again", &registry_);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(PrintGraph(*parsed), text);
  }
  // Noise is really drawn again: what is dropped after it needs it.
  EXPECT_GE(Again(graph, "node: 'deep.3'").FindNode("recompute/deep.3/drop"),
            0);
  EXPECT_EQ(Copies(Again(graph, "every: 1000")), 0);
}

TEST_F(RecomputeTest, ADeepNetTakesTheRootOfTheMemory) {
  const Graph graph = Deep(64, 64);
  const int64_t plain = Arena(graph);
  // Updates where their gradients are made.
  const int64_t early = Arena(Again(graph, "every: 100000"));
  const Graph again = Again(graph, "");
  const int64_t least = Arena(again);
  EXPECT_LE(early, plain);
  EXPECT_LT(least, early / 2);
  EXPECT_GT(Copies(again), 100);
  // No more than each node once more.
  EXPECT_LT(Copies(again), 64 * 4 + 3);
  // The estimate is no more than what the planner finds, whose arena has
  // kernels' scratch in it, too.
  EXPECT_LT(PeakBytes(*Fuse(again), 10), 1.2 * least);
  // By the blocks' names it is nearly as good.
  EXPECT_LT(Arena(Again(graph, "node: 'deep'")), early);
}

TEST_F(RecomputeTest, AnAccumulatingGraphToo) {
  const Graph graph = Deep(12);
  const auto split = Accumulate(graph);
  ASSERT_TRUE(split.ok()) << split.status();
  const Graph again = Again(split->gather, "");
  EXPECT_LT(Arena(again), Arena(split->gather));
  EXPECT_GT(Copies(again), 10);
}

// An Embedding's update takes the rows of its minibatch; what is accumulated is
// of several, so it is whole again. In one minibatch the two are the same.
TEST_F(RecomputeTest, AccumulationOfEmbeddingsIsOfTheWholeGradient) {
  for (const char* rest : {"", "clip_norm: 0.01"}) {
    SCOPED_TRACE(rest);
    const Graph network = Parse(R"(
      input { name: "tokens" shape: [4] type: INT32 }
      node { name: "a" input: "tokens" op { [op/Embedding] { vocabulary: 9 width: 6 } } }
      node { name: "b" input: "tokens" share_with: "a"
             op { [op/Embedding] { vocabulary: 9 width: 6 } } }
      node { name: "both" input: "a" input: "b" op { [op/Mul] {} } }
      node { name: "flat" input: "both" op { [op/Flatten] {} } }
      node { name: "y" input: "flat" op { [op/Dense] { units: 3 } } }
      output: "y")");
    const auto graph = Finetune(network, Loss("SoftmaxCrossEntropy", rest),
                                Proto<SolverDef>("sgd {}"));
    ASSERT_TRUE(graph.ok()) << graph.status();
    const auto split = Accumulate(*graph);
    ASSERT_TRUE(split.ok()) << split.status();
    Variables rows, whole;
    const auto plain = Compile(*Fuse(*graph), &rows);
    const auto gather = Compile(*Fuse(split->gather), &whole);
    const auto update = Compile(*Fuse(split->update), &whole);
    int32_t tokens[40];
    for (int i = 0; i < 40; ++i) tokens[i] = i * i % 9;
    const float share = 1, keep = 0;
    plain->BindInput(plain->FindInput("tokens"), tokens);
    gather->BindInput(gather->FindInput("tokens"), tokens);
    gather->BindInput(gather->FindInput(kAccumulateShare), &share);
    gather->BindInput(gather->FindInput(kAccumulateKeep), &keep);
    for (int step = 0; step < 5; ++step) {
      Run(*plain, step);
      Run(*gather, step);
      Run(*update, step);
    }
    for (const char* name : {"a/weight", "y/weight", "y/bias"}) {
      const auto expected = Values(rows, name), seen = Values(whole, name);
      for (size_t i = 0; i < seen.size(); ++i) {
        ASSERT_NEAR(seen[i], expected[i], 1e-6) << name << " " << i;
      }
    }
  }
}

TEST_F(RecomputeTest, WhatHasNoWayBackStays) {
  const auto rbm = Pretrain(Parse(R"(input { name: "x" shape: [6] }
               node { name: "h" input: "x"
                      op { [op/Dense] { units: 5 activation: SIGMOID } } }
               output: "h")"),
                            Proto<PretrainLayer>("node: 'h' rbm {}"),
                            Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(rbm.ok());
  EXPECT_EQ(PrintGraph(Again(*rbm, "every: 2")), PrintGraph(*rbm));
  EXPECT_EQ(
      Recompute(*rbm, Proto<RecomputeDef>("every: 0"), 10).status().message(),
      "recompute: every is 0; it must be at least 1");
  EXPECT_FALSE(
      Recompute(*rbm, Proto<RecomputeDef>("every: 2 node: 'h'"), 10).ok());
}

}  // namespace
}  // namespace tamer
