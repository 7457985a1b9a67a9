#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

class FuseTest : public PassesTest {
 protected:
  // All variables after some steps.
  std::map<std::string, std::vector<float>> Train(const Graph& graph) {
    Variables variables;
    auto plan = Compile(graph, &variables);
    rate_ = 0.1f;
    momentum_ = 0.5f;
    for (int step = 0; step < 15; ++step) Run(*plan, step);
    std::map<std::string, std::vector<float>> values;
    for (const auto& entry : variables.all()) {
      if (entry.second.dtype != DType::kFloat) continue;
      values[entry.first] = Values(variables, entry.first);
    }
    return values;
  }

  // Fusing keeps outputs and variables, and what training makes of these; its
  // text is that of a graph. Returns the fused graph.
  Graph CheckSame(const absl::StatusOr<Graph>& graph) {
    EXPECT_TRUE(graph.ok()) << graph.status();
    const auto fused = Fuse(*graph);
    EXPECT_TRUE(fused.ok()) << fused.status();
    const auto expected = Train(*graph), seen = Train(*fused);
    EXPECT_EQ(expected.size(), seen.size());
    for (const auto& entry : expected) {
      EXPECT_EQ(seen.count(entry.first), 1u) << entry.first;
      if (seen.count(entry.first) == 0) continue;
      const std::vector<float>& values = seen.at(entry.first);
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(values[i], entry.second[i],
                    2e-5 * std::max(1.0f, std::fabs(entry.second[i])))
            << entry.first << " " << i;
      }
    }
    EXPECT_EQ(UpdatedBy(*fused), UpdatedBy(*graph));
    const auto again = ParseGraph(PrintGraph(*fused), "again", &registry_);
    EXPECT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(PrintGraph(*again), PrintGraph(*fused));
    return *fused;
  }

  static int Count(const Graph& graph, const std::string& op) {
    int count = 0;
    for (const Node& node : graph.nodes()) count += node.op->name() == op;
    return count;
  }
};

TEST_F(FuseTest, FineTuningByEveryRule) {
  for (const char* solver :
       {"sgd { learning_rate: 0.1 }",
        "sgd { learning_rate: 0.1 momentum: 0.5 }",
        "nesterov { learning_rate: 0.1 momentum: 0.5 } weight_decay: 0.01",
        "adam { learning_rate: 0.1 epsilon: 0.1 }",
        "adamw { learning_rate: 0.1 epsilon: 0.1 } weight_decay: 0.1",
        "rmsprop { learning_rate: 0.1 epsilon: 0.1 }",
        "adagrad { learning_rate: 0.1 epsilon: 0.1 } max_norm: 1"}) {
    SCOPED_TRACE(solver);
    const Graph fused =
        CheckSame(Finetune(Parse(kNetwork), Loss("SoftmaxCrossEntropy"),
                           Proto<SolverDef>(solver)));
    // All products and row sums have gone into the updates.
    EXPECT_EQ(Count(fused, "MatMul"), 0);
    EXPECT_EQ(Count(fused, "Reduce"), 0);
  }
}

TEST_F(FuseTest, AWayBackThroughTwoLayersIsOneNode) {
  const Graph fused = CheckSame(Finetune(Parse(R"(
        input { name: "x" shape: [6] }
        node { name: "h" input: "x" op { [op/Dense] { units: 5 activation: SIGMOID } } }
        node { name: "g" input: "h" op { [op/Dense] { units: 4 activation: LEAKY_RELU slope: 0.3 } } }
        node { name: "y" input: "g" op { [op/Dense] { units: 3 } } }
        output: "y")"),
                                         Loss("SoftmaxCrossEntropy"),
                                         Proto<SolverDef>("sgd {}")));
  EXPECT_EQ(Count(fused, "ActivationGradient"), 0);
  EXPECT_EQ(Count(fused, "Affine"), 2);
}

// After the last reader of its parameter and what it reads itself, before the
// way back goes on.
TEST_F(FuseTest, UpdatesComeEarly) {
  const Graph fused =
      CheckSame(Finetune(Parse(kNetwork), Loss("SoftmaxCrossEntropy"),
                         Proto<SolverDef>("sgd {}")));
  std::vector<std::string> back;
  for (const Node& node : fused.nodes()) {
    const bool weight = node.name.find("bias") == std::string::npos;
    if (weight && node.name.find('/') != std::string::npos) {
      back.push_back(node.name);
    }
  }
  EXPECT_EQ(back, (std::vector<std::string>{
                      "grad/y/input", "update/y/weight", "grad/g/activation",
                      "grad/g/input", "update/g/weight", "grad/h/sum",
                      "grad/h/activation", "update/h/weight"}));
}

// GELU's derivative from its argument goes into the product; clipping needs the
// gradients themselves: what doesn't fit is left as it was.
TEST_F(FuseTest, LeavesWhatOthersRead) {
  const Graph gelu = CheckSame(Finetune(Parse(R"(
        input { name: "x" shape: [6] }
        node { name: "h" input: "x" op { [op/Dense] { units: 5 activation: GELU } } }
        node { name: "y" input: "h" op { [op/Dense] { units: 3 } } }
        output: "y")"),
                                        Loss("SoftmaxCrossEntropy"),
                                        Proto<SolverDef>("sgd {}")));
  EXPECT_EQ(Count(gelu, "ActivationGradient"), 0);
  const Graph clipped = CheckSame(
      Finetune(Parse(kNetwork), Loss("SoftmaxCrossEntropy", "clip_norm: 0.1"),
               Proto<SolverDef>("sgd {}")));
  EXPECT_EQ(Count(clipped, "MatMul"), 3);
  auto seen = Finetune(Parse(kNetwork), Loss("SoftmaxCrossEntropy"),
                       Proto<SolverDef>("sgd {}"));
  ASSERT_TRUE(seen.ok() && seen->AddOutput("grad/y/weight").ok());
  EXPECT_EQ(Count(CheckSame(seen), "MatMul"), 1);
}

TEST_F(FuseTest, PretrainingMethods) {
  const std::string network = R"(
    input { name: "x" shape: [6] }
    node { name: "h" input: "x" op { [op/Dense] { units: 5 activation: SIGMOID } } }
    output: "h")";
  for (const char* layer :
       {"node: 'h' rbm {}", "node: 'h' rbm { cd_steps: 2 }",
        "node: 'h' rbm { sparsity { target: 0.2 } }",
        "node: 'h' rbm { persistent: true particles: 7 }",
        "node: 'h' rbm { visible: GAUSSIAN }",
        "node: 'h' autoencoder { corruption { mask: 0.2 } }",
        "node: 'h' autoencoder { decoder: FREE contraction: 0.1 }",
        "node: 'h' unrolled {}"}) {
    SCOPED_TRACE(layer);
    CheckSame(
        Pretrain(Parse(network), Proto<PretrainLayer>(layer),
                 Proto<SolverDef>("sgd { learning_rate: 0.1 momentum: 0.5 }")));
  }
  // A tied weight's two gradients go into one update.
  const auto tied = Fuse(*Pretrain(
      Parse(network), Proto<PretrainLayer>("node: 'h' autoencoder {}"),
      Proto<SolverDef>("sgd { learning_rate: 0.1 momentum: 0.5 }")));
  EXPECT_EQ(Count(*tied, "MatMul"), 0);
  // Both phases' statistics without a stack of them.
  const auto plain =
      Pretrain(Parse(network), Proto<PretrainLayer>("node: 'h' rbm {}"),
               Proto<SolverDef>("sgd { learning_rate: 0.1 momentum: 0.5 }"));
  const auto fused = Fuse(*plain);
  ASSERT_TRUE(fused.ok());
  for (const char* op : {"Concat", "Scale", "Sub", "MatMul", "Reduce"}) {
    EXPECT_GT(Count(*plain, op), 0) << op;
    EXPECT_EQ(Count(*fused, op), 0) << op;
  }
}

TEST_F(FuseTest, PrecisionGoesToProducts) {
  const auto graph = Finetune(Parse(kNetwork), Loss("SoftmaxCrossEntropy"),
                              Proto<SolverDef>("sgd {}"));
  const auto fused = Fuse(*graph, BF16);
  ASSERT_TRUE(fused.ok()) << fused.status();
  const std::string text = PrintGraph(*fused);
  int count = 0;
  for (size_t at = text.find("precision: BF16"); at != std::string::npos;
       at = text.find("precision: BF16", at + 1)) {
    ++count;
  }
  // Three layers, two ways back, three weights.
  EXPECT_EQ(count, 8);
  EXPECT_EQ(PrintGraph(*Fuse(*graph)).find("precision"), std::string::npos);
}

// Fusing what is fused changes nothing.
// The graph says which rows an update touches before it is fused: both train
// the same, by any rule, with weights in common and with clipping.
TEST_F(FuseTest, EmbeddingsAreUpdatedByRows) {
  const std::string network = R"(
    input { name: "tokens" shape: [6] type: INT32 }
    node { name: "e" input: "tokens" op { [op/Embedding] { vocabulary: 9 width: 5 scale: 2 } } }
    node { name: "f" input: "tokens" share_with: "e" op { [op/Embedding] { vocabulary: 9 width: 5 } } }
    node { name: "sum" input: "e" input: "f" op { [op/Add] {} } }
    node { name: "flat" input: "sum" op { [op/Flatten] {} } }
    node { name: "y" input: "flat" op { [op/Dense] { units: 3 } } }
    output: "y")";
  for (const char* solver :
       {"sgd { learning_rate: 0.1 }",
        "nesterov { learning_rate: 0.1 momentum: 0.5 } weight_decay: 0.01",
        "adam { learning_rate: 0.1 epsilon: 0.1 }"}) {
    for (const char* clip : {"", "clip_norm: 0.1"}) {
      SCOPED_TRACE(absl::StrCat(solver, " ", clip));
      const Graph fused =
          CheckSame(Finetune(Parse(network), Loss("SoftmaxCrossEntropy", clip),
                             Proto<SolverDef>(solver)));
      EXPECT_EQ(Count(fused, "EmbeddingGradient"), *clip == 0 ? 0 : 2);
      EXPECT_NE(PrintGraph(fused).find("one_hot"), std::string::npos);
    }
  }
}

TEST_F(FuseTest, OnceIsEnough) {
  const auto graph = Finetune(Parse(kNetwork), Loss("SoftmaxCrossEntropy"),
                              Proto<SolverDef>("sgd {}"));
  const auto once = Fuse(*graph);
  ASSERT_TRUE(once.ok());
  EXPECT_EQ(PrintGraph(*Fuse(*once)), PrintGraph(*once));
}

}  // namespace
}  // namespace tamer
