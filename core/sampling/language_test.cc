#include "core/sampling/language.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/graph/text.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

class LanguageTest : public testing::Test {
 protected:
  LanguageTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  // A transformer of two blocks on contexts of 12 tokens.
  Graph Transformer(const std::string& attention) {
    const std::string text = absl::StrCat(R"(
      input { name: "tokens" type: INT32 shape: [12] }
      block {
        name: "layer"
        input: "x"
        node { name: "norm" input: "x" op { [op/LayerNorm] {} } }
        node { name: "qkv" input: "norm" op { [op/Dense] { units: 24 } } }
        node { name: "attention" input: "qkv" op { [op/Attention] { )",
                                          attention, R"( } } }
        node { name: "sum" input: "x" input: "attention" op { [op/Add] {} } }
        node { name: "up" input: "sum" op { [op/Dense] { units: 16 activation: GELU } } }
        output: "up"
      }
      node { name: "embedding" input: "tokens" op { [op/Embedding] { vocabulary: 20 width: 8 init { gaussian { stddev: 1 } } } } }
      node { name: "positions" input: "embedding" op { [op/PositionEmbedding] { init { gaussian { stddev: 1 } } } } }
      node { name: "layer1" input: "positions" block: "layer" }
      node { name: "narrow" input: "layer1" op { [op/Dense] { units: 8 } } }
      node { name: "layer2" input: "narrow" block: "layer" }
      node { name: "logits" input: "layer2" op { [op/Dense] { units: 20 } } }
      output: "logits")");
    auto graph = ParseGraph(text, "test", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *graph;
  }

  std::unique_ptr<LanguageModel> Model(const Graph& graph, bool may_cache) {
    auto model =
        LanguageModel::Make(graph, &variables_, may_cache, &scheduler_);
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }

  OpRegistry registry_;
  Variables variables_;
  Scheduler scheduler_{ThreadOptions()};
};

// Far beyond the context, where the older half is forgotten.
TEST_F(LanguageTest, KeptKeysChangeNothing) {
  for (const char* attention :
       {"heads: 2 causal: true", "heads: 1 causal: true rotary: true"}) {
    variables_ = Variables();
    const Graph graph = Transformer(attention);
    const auto cached = Model(graph, true), whole = Model(graph, false);
    EXPECT_TRUE(cached->cached()) << cached->reason();
    EXPECT_FALSE(whole->cached());
    EXPECT_EQ(cached->context(), 12);
    EXPECT_EQ(cached->vocabulary(), 20);
    std::vector<float> last;
    for (int i = 0; i < 40; ++i) {
      const auto a = cached->Read(i * 7 % 20), b = whole->Read(i * 7 % 20);
      ASSERT_TRUE(a.ok()) << a.status();
      ASSERT_TRUE(b.ok()) << b.status();
      for (int c = 0; c < 20; ++c) {
        ASSERT_NEAR((*a)[c], (*b)[c], 1e-5) << "token " << i;
      }
      // It isn't the same answer always.
      const std::vector<float> now(a->begin(), a->end());
      EXPECT_NE(now, last);
      last = now;
    }
    // After Begin nothing is remembered.
    cached->Begin();
    whole->Begin();
    EXPECT_NEAR((*cached->Read(3))[0], (*whole->Read(3))[0], 1e-5);
  }
}

TEST_F(LanguageTest, WhatCannotBeKeptIsComputedAnew) {
  const auto model = Model(Transformer("heads: 2"), true);
  EXPECT_FALSE(model->cached());
  EXPECT_EQ(model->reason(),
            "node \"layer1/attention\": only causal Attention with q, k and v "
            "in one input works position by position");
}

TEST_F(LanguageTest, MistakesAreNamed) {
  const auto model = Model(Transformer("causal: true"), true);
  EXPECT_EQ(model->Read(20).status().message(),
            "token 20 is not within the vocabulary of 20");
  auto vectors = ParseGraph(
      "input { name: 'x' shape: [4] } node { name: 'y' input: 'x' op { "
      "[op/Dense] { units: 2 } } } output: 'y'",
      "test", &registry_);
  ASSERT_TRUE(vectors.ok());
  EXPECT_EQ(
      LanguageModel::Make(*vectors, &variables_, true, &scheduler_)
          .status()
          .message(),
      "a language model reads tokens, INT32 [B, T], and gives logits, [B, "
      "T, vocabulary]; this network reads FLOAT [B, 4] and gives FLOAT "
      "[B, 2]");
}

TEST_F(LanguageTest, SamplesByProbability) {
  const std::vector<float> logits = {0, std::log(2.0f), std::log(5.0f), -50};
  SamplingOptions options;
  const auto counts = [&] {
    std::vector<int> count(4);
    for (int i = 0; i < 8000; ++i) ++count[SampleToken(logits, options, i)];
    return count;
  };
  const std::vector<int> all = counts();
  EXPECT_NEAR(all[0], 1000, 120);
  EXPECT_NEAR(all[1], 2000, 150);
  EXPECT_NEAR(all[2], 5000, 180);
  EXPECT_EQ(all[3], 0);
  options.top_k = 2;
  const std::vector<int> two = counts();
  EXPECT_EQ(two[0], 0);
  EXPECT_NEAR(two[1], 8000 * 2 / 7, 180);
  options.temperature = 0.5;  // squares the odds
  EXPECT_NEAR(counts()[1], 8000 * 4 / 29, 150);
  options.temperature = 0;
  EXPECT_EQ(counts(), (std::vector<int>{0, 0, 8000, 0}));
}

TEST_F(LanguageTest, TheSameSeedGivesTheSameText) {
  const auto model = Model(Transformer("causal: true"), true);
  SamplingOptions options;
  const auto a = Continue({1, 2, 3}, 30, options, model.get());
  const auto b = Continue({1, 2, 3}, 30, options, model.get());
  options.seed = 2;
  const auto c = Continue({1, 2, 3}, 30, options, model.get());
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  EXPECT_EQ(a->size(), 30u);
  EXPECT_EQ(*a, *b);
  EXPECT_NE(*a, *c);
  EXPECT_FALSE(Continue({}, 3, options, model.get()).ok());
}

}  // namespace
}  // namespace tamer
