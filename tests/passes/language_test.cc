#include <cmath>

#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

class LanguageModelTest : public PassesTest {
 protected:
  static FinetuneDef NextToken(const std::string& loss) {
    FinetuneDef finetune;
    finetune.mutable_loss()->set_type_url("op/" + loss);
    finetune.set_target(FinetuneDef::NEXT_TOKEN);
    return finetune;
  }
  absl::StatusOr<Graph> Training(const std::string& network,
                                 const std::string& loss) {
    return Finetune(Parse(network), NextToken(loss),
                    Proto<SolverDef>("adam { learning_rate: 0.01 }"));
  }
};

constexpr char kCausal[] = R"(
  input { name: "tokens" type: INT32 shape: [6] }
  node { name: "e" input: "tokens" op { [op/Embedding] { vocabulary: 9 width: 8 } } }
  node { name: "p" input: "e" op { [op/PositionEmbedding] {} } }
  node { name: "norm" input: "p" op { [op/LayerNorm] {} } }
  node { name: "qkv" input: "norm" op { [op/Dense] { units: 24 } } }
  node { name: "a" input: "qkv" op { [op/Attention] { heads: 2 causal: true } } }
  node { name: "sum" input: "p" input: "a" op { [op/Add] {} } }
  node { name: "up" input: "sum" op { [op/Dense] { units: 16 activation: GELU } } }
  node { name: "y" input: "up" op { [op/Dense] { units: 9 } } }
  output: "y")";

// It learns ten sequences by heart, fused as it trains.
TEST_F(LanguageModelTest, ATransformerLearnsTheNextToken) {
  const auto training = Training(kCausal, "SequenceCrossEntropy");
  ASSERT_TRUE(training.ok()) << training.status();
  EXPECT_LT(training->FindValue("labels"), 0);
  const auto fused = Fuse(*training);
  ASSERT_TRUE(fused.ok()) << fused.status();
  Variables variables;
  auto plan = Compile(fused, &variables);
  rate_ = 0.01f;
  Run(*plan);
  const float first = plan->FindOutput("loss").floats()[0];
  EXPECT_NEAR(first, std::log(9.0), 1.5);
  for (int step = 1; step < 400; ++step) Run(*plan, step);
  EXPECT_LT(plan->FindOutput("loss").floats()[0], 0.6 * first);
}

TEST_F(LanguageModelTest, MistakesAreNamed) {
  EXPECT_EQ(Training(kCausal, "MeanSquaredError").status().message(),
            "finetune: target: NEXT_TOKEN goes with a loss that takes labels, "
            "as SequenceCrossEntropy");
  EXPECT_EQ(Training("input { name: 'x' shape: [6] } node { name: 'y' input: "
                     "'x' op { [op/Dense] { units: 3 } } } output: 'y'",
                     "SoftmaxCrossEntropy")
                .status()
                .message(),
            "finetune: target: NEXT_TOKEN needs a network with an input of "
            "tokens, INT32 [B, T]");
}

}  // namespace
}  // namespace tamer
