// Pretext tasks on whole trunks: what the trunk sees, what the loss asks for,
// and that learning follows its slope.

#include <cmath>

#include "proto/ops/views.pb.h"
#include "tests/passes/slopes.h"

namespace tamer {
namespace {

using PretextTest = SlopeTest;

// Four patches of four pixels, seen by one block of attention.
constexpr char kVision[] = R"(
  input { name: "x" shape: [1, 4, 4] }
  node { name: "patches" input: "x" op { [op/Patchify] { patch: 2 } } }
  node { name: "embed" input: "patches" op { [op/Dense] { units: 4 } } }
  node { name: "placed" input: "embed" op { [op/PositionEmbedding] {} } }
  node { name: "qkv" input: "placed" op { [op/Dense] { units: 12 } } }
  node { name: "seen" input: "qkv" op { [op/Attention] { heads: 2 } } }
  node { name: "code" input: "placed" input: "seen" op { [op/Add] {} } }
  node { name: "mean" input: "code" op { [op/Reduce] { kind: MEAN axis: 1 } } }
  node { name: "y" input: "mean" op { [op/Dense] { units: 3 } } }
  output: "y")";

constexpr char kMasked[] =
    "node: 'code' masked_patches { tokens: 'placed' mask: 0.5 "
    "decoder_width: 4 decoder_heads: 2 }";

// A language model that doesn't look ahead.
constexpr char kLanguage[] = R"(
  input { name: "tokens" shape: [6] type: INT32 }
  node { name: "embed" input: "tokens" op { [op/Embedding] { vocabulary: 12 width: 4 } } }
  node { name: "qkv" input: "embed" op { [op/Dense] { units: 12 } } }
  node { name: "seen" input: "qkv" op { [op/Attention] { heads: 2 causal: true } } }
  node { name: "code" input: "embed" input: "seen" op { [op/Add] {} } }
  node { name: "last" input: "code" op { [op/Reduce] { kind: MEAN axis: 1 } } }
  node { name: "y" input: "last" op { [op/Dense] { units: 3 } } }
  output: "y")";

// The graph with more outputs.
Graph With(Graph graph, const std::vector<std::string>& outputs) {
  for (const std::string& output : outputs) {
    EXPECT_TRUE(graph.AddOutput(output).ok()) << output;
  }
  return graph;
}

std::vector<float> FloatsOf(const Tensor& tensor) {
  return {tensor.floats(), tensor.floats() + tensor.elements()};
}

std::vector<int32_t> IntsOf(const Tensor& tensor) {
  return {tensor.ints(), tensor.ints() + tensor.elements()};
}

PretrainLayer Contrastive(const op::RandomView& view) {
  auto layer =
      Proto<PretrainLayer>("node: 'mean' contrastive { projection: 3 }");
  layer.mutable_contrastive()->mutable_view()->set_type_url("op/RandomView");
  layer.mutable_contrastive()->mutable_view()->set_value(
      view.SerializeAsString());
  return layer;
}

TEST_F(PretextTest, TrunksFollowTheirLosssSlope) {
  // What is normalised bends more than most: a smaller step.
  CheckSlopes(kVision, kMasked, 2e-3f);
  op::RandomView view;
  view.set_shift(1);
  view.set_flip(0.5f);
  view.set_noise(0.1f);
  // The projection's RELU has kinks: smaller still.
  CheckSlopes(kVision, Contrastive(view), 2e-4f);
  CheckSlopes(kLanguage, "node: 'code' causal {}");
  CheckSlopes(kLanguage, "node: 'code' causal { tied: true }");
  CheckSlopes(kLanguage, "node: 'code' masked_tokens { mask: 0.5 }");
}

TEST_F(PretextTest, TheEncoderSeesOnlyVisiblePatches) {
  const auto graph = Pretrain(Parse(kVision), Proto<PretrainLayer>(kMasked),
                              Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  Variables variables;
  auto plan = Compile(With(*graph, {"code", "pretext/keep:1"}), &variables);
  rate_ = 0;
  Run(*plan, 5);
  const std::vector<float> code = FloatsOf(plan->FindOutput("code"));
  EXPECT_EQ(code.size(), 10u * 2 * 4);
  const auto hidden = IntsOf(plan->FindOutput("pretext/keep:1"));
  const float loss = plan->FindOutput("loss").floats()[0];
  for (int b = 0; b < 10; ++b) {
    for (int i = 0; i < 2; ++i) {
      const int patch = hidden[b * 2 + i];
      const int at = b * 16 + patch / 2 * 8 + patch % 2 * 2;
      x_[at] += 9;  // one pixel of each hidden patch
    }
  }
  Run(*plan, 5);
  EXPECT_EQ(FloatsOf(plan->FindOutput("code")), code);
  EXPECT_NE(plan->FindOutput("loss").floats()[0], loss);
}

TEST_F(PretextTest, MaskedPatchesAreComparedWithNormalisedPixels) {
  for (const bool normalize : {true, false}) {
    auto layer = Proto<PretrainLayer>(kMasked);
    layer.mutable_masked_patches()->set_normalize(normalize);
    const auto graph =
        Pretrain(Parse(kVision), layer, Proto<SolverDef>("sgd {}"));
    ASSERT_TRUE(graph.ok()) << graph.status();
    Variables variables;
    auto plan =
        Compile(With(*graph, {"pretext/head", "pretext/keep:1"}), &variables);
    Run(*plan, 2);
    const auto guess = FloatsOf(plan->FindOutput("pretext/head"));
    const auto hidden = IntsOf(plan->FindOutput("pretext/keep:1"));
    double error = 0;
    for (int h = 0; h < 20; ++h) {
      const int corner = h / 2 * 16 + hidden[h] / 2 * 8 + hidden[h] % 2 * 2;
      const double pixels[4] = {x_[corner], x_[corner + 1], x_[corner + 4],
                                x_[corner + 5]};
      double mean = 0, variance = 0;
      for (double pixel : pixels) mean += pixel / 4;
      for (double pixel : pixels)
        variance += (pixel - mean) * (pixel - mean) / 4;
      for (int i = 0; i < 4; ++i) {
        const double truth =
            normalize ? (pixels[i] - mean) / std::sqrt(variance + 1e-6)
                      : pixels[i];
        error += (guess[h * 4 + i] - truth) * (guess[h * 4 + i] - truth) / 80;
      }
    }
    EXPECT_NEAR(plan->FindOutput("loss").floats()[0], error, 1e-4 * error);
  }
}

// -log softmax(logits)[target], mean over targets that aren't -1.
double CrossEntropy(const std::vector<float>& logits,
                    const std::vector<int32_t>& targets, int vocabulary) {
  double sum = 0;
  int count = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    const float* row = logits.data() + i * vocabulary;
    double all = 0;
    for (int v = 0; v < vocabulary; ++v) all += std::exp(double{row[v]});
    sum += std::log(all) - row[targets[i]];
    ++count;
  }
  return sum / count;
}

TEST_F(PretextTest, CausalAsksForEachTokensSuccessor) {
  const auto graph =
      Pretrain(Parse(kLanguage), Proto<PretrainLayer>("node: 'code' causal {}"),
               Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  tokens_[10] = tokens_[11] = -1;  // padding
  Variables variables;
  auto plan = Compile(With(*graph, {"pretext/head"}), &variables);
  Run(*plan);
  std::vector<int32_t> targets(60, -1);
  for (int i = 0; i < 60; ++i) {
    if (i % 6 != 5) targets[i] = tokens_[i + 1];
  }
  EXPECT_NEAR(
      plan->FindOutput("loss").floats()[0],
      CrossEntropy(FloatsOf(plan->FindOutput("pretext/head")), targets, 12),
      1e-4);
}

TEST_F(PretextTest, FineTuningAsksForAnswersAndNotForPrompts) {
  std::string text = kLanguage;
  const std::string last = "output: \"y\"";
  text.replace(text.find(last), last.size(),
               "node { name: 'logits' input: 'code' op { [op/Dense] { units: "
               "12 } } } output: 'logits'");
  const Graph network = Parse(text);
  for (const bool prompts : {false, true}) {
    const auto finetune = Loss(
        "SequenceCrossEntropy",
        prompts ? "target: NEXT_TOKEN prompt_end: 7" : "target: NEXT_TOKEN");
    const auto graph = Finetune(network, finetune, Proto<SolverDef>("sgd {}"));
    ASSERT_TRUE(graph.ok()) << graph.status();
    Variables variables;
    auto plan = Compile(With(*graph, {"logits"}), &variables);
    Run(*plan);
    std::vector<int32_t> targets(60, -1);
    int asked = 0;
    for (int sample = 0; sample < 10; ++sample) {
      bool answer = !prompts;
      for (int i = sample * 6; i < sample * 6 + 5; ++i) {
        answer |= tokens_[i] == 7;
        if (answer) targets[i] = tokens_[i + 1];
        asked += answer;
      }
    }
    EXPECT_EQ(asked == 50, !prompts);
    EXPECT_GT(asked, 5);
    EXPECT_NEAR(plan->FindOutput("loss").floats()[0],
                CrossEntropy(FloatsOf(plan->FindOutput("logits")), targets, 12),
                1e-4);
  }
  const auto fault = Finetune(
      Parse(kVision), Loss("SequenceCrossEntropy", "target: NEXT_TOKEN"),
      Proto<SolverDef>("sgd {}"));
  EXPECT_TRUE(absl::StrContains(fault.status().message(),
                                "needs a network with an input of tokens"));
}

TEST_F(PretextTest, MaskedTokensAsksForWhatWasHidden) {
  const auto graph =
      Pretrain(Parse(kLanguage),
               Proto<PretrainLayer>("node: 'code' masked_tokens { mask: 0.4 }"),
               Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  Variables variables;
  auto plan =
      Compile(With(*graph, {"pretext/head", "noisy", "noisy:1"}), &variables);
  Run(*plan, 1);
  const auto targets = IntsOf(plan->FindOutput("noisy:1"));
  const auto noisy = IntsOf(plan->FindOutput("noisy"));
  int asked = 0;
  for (int i = 0; i < 60; ++i) {
    asked += targets[i] >= 0;
    EXPECT_EQ(targets[i] < 0 ? noisy[i] : targets[i], tokens_[i]);
  }
  EXPECT_GT(asked, 10);
  EXPECT_LT(asked, 40);
  EXPECT_NEAR(
      plan->FindOutput("loss").floats()[0],
      CrossEntropy(FloatsOf(plan->FindOutput("pretext/head")), targets, 12),
      1e-4);
}

// Two views of each sample, by random numbers of their own.
TEST_F(PretextTest, ContrastiveComparesTwoViews) {
  const auto graph = Pretrain(
      Parse(kVision),
      Proto<PretrainLayer>("node: 'mean' contrastive { projection: 3 }"),
      Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  Variables variables;
  auto plan = Compile(With(*graph, {"view", "mean"}), &variables);
  Run(*plan);
  const auto views = FloatsOf(plan->FindOutput("view"));
  ASSERT_EQ(views.size(), 2u * 160);
  EXPECT_FALSE(
      std::equal(views.begin(), views.begin() + 160, views.begin() + 160));
  EXPECT_EQ(plan->FindOutput("mean").shape, Shape({20, 4}));
}

TEST_F(PretextTest, FaultsAreNamed) {
  const auto expect = [&](const char* network, const std::string& layer,
                          const char* part) {
    const std::string fault(Pretrain(Parse(network),
                                     Proto<PretrainLayer>(layer),
                                     Proto<SolverDef>("sgd {}"))
                                .status()
                                .message());
    EXPECT_TRUE(absl::StrContains(fault, part)) << layer << "\n" << fault;
  };
  expect(kVision, "node: 'code' masked_patches { tokens: 'placd' }",
         "did you mean \"placed\"");
  expect(kVision, "node: 'code' masked_patches { tokens: 'mean' }",
         "but there are 4 patches; it must be [B, 4, width]");
  expect(kVision, "node: 'mean' masked_patches { tokens: 'placed' }",
         "it must be [B, 1, width]");
  expect(kVision, "node: 'embed' masked_patches { tokens: 'placed' }",
         "it doesn't read \"placed\"");
  expect(kVision, "node: 'code' masked_patches { tokens: 'placed' mask: 0.1 }",
         "hides 0 of 4 tokens");
  expect(kVision,
         "node: 'code' masked_patches { tokens: 'placed' decoder_width: 10 }",
         "the heads must divide the width");
  expect(kLanguage, "node: 'code' masked_patches { tokens: 'embed' }",
         "has no op/Patchify");
  expect(kVision, "node: 'code' causal {}", "tokens are INT32 [B, T]");
  expect(kLanguage, "node: 'last' causal {}", "a vector for each token");
  expect(kLanguage, "node: 'code' causal { vocabulary: 1 }", "vocabulary is 1");
  expect(kLanguage, "node: 'code' masked_tokens { mask: 0 }", "share is 0");
  op::RandomView nothing;
  nothing.set_crop(0);
  const auto fault = Pretrain(Parse(kVision), Contrastive(nothing),
                              Proto<SolverDef>("sgd {}"));
  EXPECT_TRUE(absl::StrContains(fault.status().message(), "crop is 0"));
}

}  // namespace
}  // namespace tamer
