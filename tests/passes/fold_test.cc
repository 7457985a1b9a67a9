#include "core/passes/fold.h"

#include "tests/passes/fixture.h"

namespace tamer {
namespace {

// A norm after a convolution with and without bias, after Dense, and where it
// must stay: with a residual, and after what isn't linear.
constexpr char kNormed[] = R"(
  input { name: "x" shape: [2, 3, 1] }
  node { name: "c1" input: "x" op { [op/Conv2D] { filters: 4 kernel: 3 padding: SAME bias: false } } }
  node { name: "n1" input: "c1" op { [op/BatchNorm] { activation: RELU } } }
  node { name: "c2" input: "n1" op { [op/Conv2D] { filters: 4 kernel: 3 padding: SAME } } }
  node { name: "n2" input: "c2" op { [op/BatchNorm] {} } }
  node { name: "c3" input: "n2" op { [op/Conv2D] { filters: 4 kernel: 1 } } }
  node { name: "n3" input: "c3" input: "n1" op { [op/BatchNorm] { activation: RELU } } }
  node { name: "flat" input: "n3" op { [op/Flatten] {} } }
  node { name: "h" input: "flat" op { [op/Dense] { units: 5 } } }
  node { name: "n4" input: "h" op { [op/BatchNorm] { epsilon: 0.01 } } }
  node { name: "g" input: "n4" op { [op/Dense] { units: 5 activation: TANH } } }
  node { name: "y" input: "g" op { [op/BatchNorm] {} } }
  output: "y")";

class FoldTest : public PassesTest {};

TEST_F(FoldTest, ThePredictionStaysTheSame) {
  const Graph network = Parse(kNormed);
  const auto prediction = Infer(network);
  Variables variables;
  auto plan = Compile(prediction, &variables);
  uint64_t seed = 0;
  for (const auto& entry : variables.all()) {
    FillUniform(++seed, 0, entry.second.elements(), entry.second.floats());
  }
  Run(*plan);
  const Tensor y = plan->FindOutput("y");
  const std::vector<float> expected(y.floats(), y.floats() + y.elements());

  std::vector<FoldedNorm> folded;
  const auto graph = FoldNorms(*prediction, &folded);
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<std::string> norms;
  for (const FoldedNorm& one : folded) {
    norms.push_back(one.norm);
    const auto add = [&](const std::string& name) {
      return *variables.Add(name, graph->value(graph->FindValue(name)).type);
    };
    const Tensor weight = add(one.norm + "/weight");
    const Tensor bias = add(one.norm + "/bias");
    const absl::Status status = FoldWeights(
        one, [&](const std::string& name) { return variables.Find(name); },
        weight, bias);
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(norms, (std::vector<std::string>{"n1", "n2", "n4"}));
  EXPECT_EQ(graph->FindNode("c1"), -1);
  auto faster = Compile(graph, &variables);
  Run(*faster);
  const Tensor z = faster->FindOutput("y");
  ASSERT_EQ(z.elements(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(z.floats()[i], expected[i], 1e-4) << i;
  }
}

TEST_F(FoldTest, WhatIsSharedOrReadTwiceStays) {
  const auto prediction = Infer(Parse(R"(
    input { name: "x" shape: [6] }
    node { name: "a" input: "x" op { [op/Dense] { units: 6 } } }
    node { name: "na" input: "a" op { [op/BatchNorm] {} } }
    node { name: "b" input: "na" share_with: "a" op { [op/Dense] { units: 6 } } }
    node { name: "c" input: "b" op { [op/Dense] { units: 6 } } }
    node { name: "nc" input: "c" op { [op/BatchNorm] {} } }
    node { name: "y" input: "c" input: "nc" op { [op/Add] {} } }
    output: "y")"));
  ASSERT_TRUE(prediction.ok()) << prediction.status();
  std::vector<FoldedNorm> folded;
  ASSERT_TRUE(FoldNorms(*prediction, &folded).ok());
  EXPECT_TRUE(folded.empty());
}

// Training moves the running statistics; prediction uses them.
TEST_F(FoldTest, StatisticsAreMadeInTrainingAndUsedInPrediction) {
  const Graph network = Parse(kNormed);
  const auto training =
      Finetune(network, Loss("SoftmaxCrossEntropy"),
               Proto<SolverDef>("sgd { learning_rate: 0.1 }"));
  Variables variables;
  auto plan = Compile(training, &variables);
  const auto before = Values(variables, "n1/mean");
  Run(*plan);
  EXPECT_NE(Values(variables, "n1/mean"), before);
  const auto after = Values(variables, "n1/mean");
  auto prediction = Compile(Infer(network), &variables);
  Run(*prediction);
  EXPECT_EQ(Values(variables, "n1/mean"), after);
}

}  // namespace
}  // namespace tamer
