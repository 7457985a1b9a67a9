// How evaluation cuts the data.

#include "core/train/evaluate.h"

#include "absl/strings/substitute.h"
#include "core/graph/text.h"
#include "core/runtime/scheduler.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

constexpr char kNetwork[] = R"(
input { name: "x" shape: [5] }
node { name: "h" input: "x" op { [op/Dense] { units: $0 activation: RELU } } }
node { name: "y" input: "h" op { [op/Dense] { units: 3 } } }
output: "y"
)";

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }
  Graph Network(int units) {
    auto graph =
        ParseGraph(absl::Substitute(kNetwork, units), "net", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }
  OpRegistry registry_;
};

TEST_F(EvaluateTest, LargeValuesTakeFewerSamples) {
  EXPECT_EQ(EvaluationBatch(Network(16)), 200);
  // 800 KB a sample; 16 MiB hold 20.
  EXPECT_EQ(EvaluationBatch(Network(200000)), 20);
  // One of 20 MB is more than that.
  EXPECT_EQ(EvaluationBatch(Network(5000000)), 1);
}

TEST_F(EvaluateTest, SeesEverySampleOnce) {
  Dataset data;
  data.sample_shape = Shape({5});
  data.size = 50;  // 20, 20 and 10
  data.dtype = DType::kFloat;
  data.floats.resize(50 * 5);
  FillUniform(5, 0, 50 * 5, data.floats.data());
  for (int i = 0; i < 50; ++i) data.labels.push_back(i % 3);
  FinetuneDef finetune;
  finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
  Variables variables;
  Scheduler scheduler({1, 1});
  auto result =
      EvaluateOn(Network(200000), finetune, data,
                 FeatureScaling::Fit(RAW, data), &variables, &scheduler);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->samples, 50);
  ASSERT_EQ(result->confusion.size(), 3);
  for (int label = 0; label < 3; ++label) {
    int64_t count = 0;
    for (int64_t n : result->confusion[label]) count += n;
    EXPECT_EQ(count, label < 2 ? 17 : 16);
  }
}

}  // namespace
}  // namespace tamer
