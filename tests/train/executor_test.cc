// Plans for several kinds of minibatches: one set of variables, one arena.

#include "core/train/executor.h"

#include <cstring>

#include "absl/strings/match.h"
#include "core/graph/text.h"
#include "core/passes/at_length.h"
#include "core/passes/passes.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

constexpr char kSequences[] = R"(
input { name: "x" shape: [8, 5] }
node { name: "h" input: "x" op { [op/Dense] { units: 16 activation: TANH } } }
node { name: "drop" input: "h" op { [op/Dropout] { rate: 0.2 } } }
node { name: "mean" input: "drop" op { [op/Reduce] { kind: MEAN axis: 1 } } }
node { name: "y" input: "mean" op { [op/Dense] { units: 3 } } }
output: "y"
)";

class ExecutorTest : public ::testing::Test {
 protected:
  // One thread: how many are best would differ from plan to plan.
  ExecutorTest() : scheduler_({1, 1}), x_(30 * 8 * 5) {
    EXPECT_TRUE(RegisterBuiltinOps(registry_).ok());
    FillUniform(5, 0, static_cast<int64_t>(x_.size()), x_.data());
    for (int i = 0; i < 30; ++i) labels_[i] = i % 3;
    data_.sample_shape = Shape({8, 5});
    data_.size = 30;
    data_.dtype = DType::kFloat;
    data_.floats = x_;
    data_.labels.assign(labels_, labels_ + 30);
  }

  Graph Parse(const std::string& text) {
    auto graph = ParseGraph(text, "net", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }
  Graph Training(bool mixed = false) {
    FinetuneDef finetune;
    finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
    SolverDef solver;
    solver.mutable_nesterov()->set_momentum(0.9f);
    auto graph = Finetune(Parse(kSequences), finetune, solver, 1, mixed);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }
  std::unique_ptr<Executor> Make(const std::vector<BatchShape>& shapes,
                                 Variables* variables) {
    ExecutorOptions options;
    options.shapes = shapes;
    auto executor =
        Executor::Make(Training(), data_, options, variables, &scheduler_);
    EXPECT_TRUE(executor.ok()) << executor.status();
    (*executor)->set_learning_rate(0.1f);
    (*executor)->set_momentum(0.9f);
    return *std::move(executor);
  }
  Batch BatchOf(const BatchShape& shape) {
    Batch batch;
    batch.features = x_.data();
    batch.labels = labels_;
    batch.size = shape.size;
    batch.length = shape.length;
    return batch;
  }

  OpRegistry registry_;
  Scheduler scheduler_;
  std::vector<float> x_;
  int32_t labels_[30];
  Dataset data_;
};

TEST_F(ExecutorTest, PlansOfSeveralLengthsAndSizesShareWeightsAndOneArena) {
  const std::vector<BatchShape> shapes = {{10, 8}, {30, 5}, {7, 8}, {10, 3}};
  Variables shared, apart;
  const auto together = Make(shapes, &shared);
  std::vector<std::unique_ptr<Executor>> alone;
  int64_t most = 0, sum = 0;
  for (const BatchShape& shape : shapes) {
    alone.push_back(Make({shape}, &apart));
    most = std::max(most, alone.back()->arena_bytes());
    sum += alone.back()->arena_bytes();
  }
  EXPECT_EQ(together->arena_bytes(), most);
  EXPECT_LT(2 * most, sum);
  for (int step = 0; step < 20; ++step) {
    const int which = step * 7 % 4;
    const Batch batch = BatchOf(shapes[which]);
    ASSERT_TRUE(together->Run(batch, step).ok());
    ASSERT_TRUE(alone[which]->Run(batch, step).ok());
    const int loss = together->FindOutput("loss");
    EXPECT_EQ(together->Output(loss).floats()[0],
              alone[which]->Output(loss).floats()[0]);
  }
  for (const auto& entry : shared.all()) {
    EXPECT_EQ(0, std::memcmp(entry.second.data, apart.Find(entry.first)->data,
                             entry.second.bytes()))
        << entry.first;
  }
  EXPECT_TRUE(absl::StrContains(together->Run(BatchOf({9, 8}), 0).message(),
                                "no plan was made for 9 samples of length 8"));
}

TEST_F(ExecutorTest, MixedSamplesHaveTheMeanLossOfTheirLabels) {
  Variables variables;
  ExecutorOptions options;
  const auto executor =
      Executor::Make(Training(true), data_, options, &variables, &scheduler_);
  ASSERT_TRUE(executor.ok()) << executor.status();
  const auto loss = [&](const int32_t* labels, const int32_t* others,
                        const float* shares) -> double {
    Batch batch = BatchOf({10, 0});
    batch.labels = labels;
    batch.mixed_labels = others;
    batch.mixed_shares = shares;
    EXPECT_TRUE((*executor)->Run(batch, 3).ok());
    const int output = (*executor)->FindOutput("loss");
    return (*executor)->Output(output).floats()[0];
  };
  const std::vector<int32_t> others(10, 1);
  const std::vector<float> shares(10, 0.3f);
  const double own = loss(labels_, nullptr, nullptr);
  const double other = loss(others.data(), nullptr, nullptr);
  EXPECT_GT(std::abs(own - other), 1e-3);
  EXPECT_NEAR(loss(labels_, others.data(), shares.data()),
              0.7 * own + 0.3 * other, 1e-6);
}

TEST_F(ExecutorTest, AGraphAtItsOwnLengthIsTheSame) {
  const Graph graph = Training();
  const auto same = AtLength(graph, "x", 8), other = AtLength(graph, "x", 3);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(PrintGraph(*same), PrintGraph(graph));
  EXPECT_EQ(PrintGraph(*AtLength(*other, "x", 8)), PrintGraph(graph));
  EXPECT_EQ(other->value(other->FindValue("drop")).type.shape.ToString(),
            "[B, 3, 16]");
}

TEST_F(ExecutorTest, WhatHoldsToOneLengthIsNamed) {
  const auto fault = [&](const std::string& node, int64_t length = 5,
                         const std::string& input = "x") {
    const Graph graph = Parse(
        "input { name: 'x' shape: [8, 5] } input { name: 'flat' shape: [8] "
        "batched: false }" +
        node + " output: 'y'");
    const auto other = AtLength(graph, input, length);
    EXPECT_FALSE(other.ok()) << node;
    return std::string(other.status().message());
  };
  const std::string reshape =
      "node { name: 'y' input: 'x' op { [op/Reshape] { shape: [40] } } }";
  const std::string holds = fault(reshape);
  EXPECT_TRUE(absl::StartsWith(
      holds,
      "input \"x\" of length 5 instead of 8 (a parameter that states "
      "the length would have to go): net:1:"))
      << holds;
  EXPECT_TRUE(absl::EndsWith(
      holds,
      "node \"y\": Reshape: cannot make [B, 40] of [B, 5, 5]: the "
      "numbers of elements differ"))
      << holds;
  EXPECT_TRUE(absl::StrContains(
      fault("node { name: 'f' input: 'x' op { [op/Flatten] {} } } "
            "node { name: 'y' input: 'f' op { [op/Dense] { units: 2 } } }"),
      "parameter \"y/weight\" would become FLOAT [25, 2] instead of FLOAT "
      "[40, 2]: its shape follows the length"));
  EXPECT_TRUE(absl::StrContains(fault(reshape, 0), "it must be at least 1"));
  EXPECT_TRUE(absl::StrContains(fault(reshape, 5, "flat"),
                                "only [B, time, ...] has one"));
  EXPECT_TRUE(
      absl::StrContains(fault(reshape, 5, "z"), "there is no input \"z\""));
}

}  // namespace
}  // namespace tamer
