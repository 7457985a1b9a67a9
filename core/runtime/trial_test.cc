#include "core/runtime/trial.h"

#include "core/graph/text.h"
#include "core/runtime/scheduler.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

class TrialTest : public ::testing::Test {
 protected:
  TrialTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  Graph Layer(int units) {
    auto graph = ParseGraph(
        absl::StrCat("input { name: 'x' shape: [32] } node { name: 'y' input: "
                     "'x' op { [op/Dense] { units: ",
                     units, " activation: SIGMOID } } } output: 'y'"),
        "net", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }

  OpRegistry registry_;
};

TEST_F(TrialTest, ChoosesWithinBounds) {
  PlanOptions options;
  // Sixteen multiply-adds: no second thread makes that faster.
  options.batch = 1;
  EXPECT_EQ(*ChooseThreads(Layer(1), options, 2), 1);
  EXPECT_EQ(*ChooseThreads(Layer(1), options, 1), 1);
  EXPECT_EQ(*ChooseThreads(Layer(1), options, 0), 1);
  // More than is worth timing.
  options.batch = 4096;
  EXPECT_EQ(*ChooseThreads(Layer(1000), options, 3), 3);
  options.batch = 50;
  const auto chosen = ChooseThreads(Layer(500), options, 2);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_GE(*chosen, 1);
  EXPECT_LE(*chosen, 2);
  // The graph's errors come through.
  options.batch = 0;
  EXPECT_FALSE(ChooseThreads(Layer(1), options, 2).ok());
}

TEST_F(TrialTest, APlanRunsOnItsOwnThreads) {
  const Graph graph = Layer(500);
  std::vector<float> results[3];
  Scheduler scheduler{ThreadOptions()};
  for (int threads : {1, 2, 3}) {
    Variables variables;
    PlanOptions options;
    options.batch = 50;
    options.threads = threads;
    auto plan = Plan::Compile(graph, options, &variables);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ((*plan)->threads(), threads);
    TrialInputs inputs;
    inputs.Bind(graph, **plan, 0);
    ASSERT_TRUE(scheduler.Run(**plan, 0).ok());
    const Tensor y = (*plan)->FindOutput("y");
    results[threads - 1].assign(y.floats(), y.floats() + y.elements());
    EXPECT_GT(y.floats()[0], 0);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace
}  // namespace tamer
