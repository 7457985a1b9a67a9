#include <cmath>

#include "core/base/random.h"
#include "core/sampling/chain.h"
#include "core/sampling/partition.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"
#include "proto/ops/dense.pb.h"

namespace tamer {
namespace {

// An RBM of 8 and 6 units with weights of some size.
class SamplingTest : public ::testing::Test {
 protected:
  SamplingTest() : scheduler_(ThreadOptions()) {
    EXPECT_TRUE(RegisterBuiltinOps(registry_).ok());
    product_ = std::make_unique<Product>(&registry_);
    Graph& network = product_->network;
    EXPECT_TRUE(network.AddInput("x", {DType::kFloat, Shape({-1, 8})}).ok());
    op::Dense dense;
    dense.set_units(6);
    dense.set_activation(op::SIGMOID);
    EXPECT_TRUE(network.AddNode("h", dense, {"x"}).ok());
    EXPECT_TRUE(network.AddOutput("h").ok());
    EXPECT_TRUE(product_->variables.AddMissing(network, 1).ok());
    EXPECT_TRUE(
        product_->variables.Add("h/visible_bias", {DType::kFloat, Shape({8})})
            .ok());
    Fill("h/weight", 1, 1.0f);
    Fill("h/bias", 2, 0.5f);
    Fill("h/visible_bias", 3, 0.5f);
  }

  void Fill(const std::string& name, uint64_t key, float scale) {
    const Tensor& tensor = *product_->variables.Find(name);
    FillGaussian(key, 0, tensor.elements(), tensor.floats());
    for (int64_t i = 0; i < tensor.elements(); ++i) tensor.floats()[i] *= scale;
  }
  // -F(v) of the state whose bits these are.
  double LogWeight(int state) const {
    const float* w = product_->variables.Find("h/weight")->floats();
    const float* b = product_->variables.Find("h/bias")->floats();
    const float* c = product_->variables.Find("h/visible_bias")->floats();
    double sum = 0;
    for (int i = 0; i < 8; ++i) sum += (state >> i & 1) * c[i];
    for (int j = 0; j < 6; ++j) {
      double x = b[j];
      for (int i = 0; i < 8; ++i) x += (state >> i & 1) * w[i * 6 + j];
      sum += std::log1p(std::exp(x));
    }
    return sum;
  }

  OpRegistry registry_;
  Scheduler scheduler_;
  std::unique_ptr<Product> product_;
};

TEST_F(SamplingTest, TheExactPartitionIsTheSumOverAllStates) {
  double sum = 0;
  for (int state = 0; state < 256; ++state) sum += std::exp(LogWeight(state));
  const auto stack = FindStack(*product_, "");
  ASSERT_TRUE(stack.ok()) << stack.status();
  const auto exact = ExactLogPartition(stack->back(), product_->variables);
  ASSERT_TRUE(exact.ok());
  EXPECT_NEAR(*exact, std::log(sum), 1e-9);
}

TEST_F(SamplingTest, AnnealingFindsThePartition) {
  const auto stack = FindStack(*product_, "h");
  ASSERT_TRUE(stack.ok());
  const double exact = *ExactLogPartition(stack->back(), product_->variables);
  for (float base : {0.0f, 0.7f}) {
    PartitionOptions options;
    options.chains = 300;
    options.temperatures = 400;
    const auto estimate = EstimateLogPartition(
        *product_, stack->back(), std::vector<float>(8, base), options,
        &product_->variables, &scheduler_);
    ASSERT_TRUE(estimate.ok()) << estimate.status();
    EXPECT_NEAR(estimate->value, exact, 0.05);
    EXPECT_LT(estimate->low, exact);
    EXPECT_GT(estimate->high, exact);
    EXPECT_LT(estimate->high - estimate->low, 0.3);
  }
}

// A long chain visits each unit's states as often as the distribution says.
TEST_F(SamplingTest, ChainsFollowTheDistribution) {
  ChainOptions options;
  options.samples = 5000;
  options.steps = 30;
  const auto samples = RunChains(product_.get(), options, &scheduler_);
  ASSERT_TRUE(samples.ok()) << samples.status();
  double total = 0;
  std::vector<double> expected(8, 0);
  for (int state = 0; state < 256; ++state) {
    const double p = std::exp(LogWeight(state));
    total += p;
    for (int i = 0; i < 8; ++i) expected[i] += (state >> i & 1) * p;
  }
  for (int i = 0; i < 8; ++i) {
    double mean = 0;
    for (int n = 0; n < 5000; ++n) mean += (*samples)[n * 8 + i] / 5000;
    EXPECT_NEAR(mean, expected[i] / total, 0.02) << i;
  }
  // The same seed gives the same samples, another others.
  EXPECT_EQ(*samples, *RunChains(product_.get(), options, &scheduler_));
  options.seed = 2;
  EXPECT_NE(*samples, *RunChains(product_.get(), options, &scheduler_));
}

TEST_F(SamplingTest, ALayerThatWasNotPretrainedIsNamed) {
  product_->variables.Remove("h/visible_bias");
  EXPECT_EQ(FindStack(*product_, "h").status().message(),
            ": layer \"h\" was not pretrained, so it cannot be run downwards");
}

}  // namespace
}  // namespace tamer
