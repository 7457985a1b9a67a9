#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

TEST(DropoutTest, KeepsTheMeanAndTellsTheMask) {
  op::Dropout dropout;
  dropout.set_rate(0.25);
  const Value x = Random({100, 1000}, 1, 1, 2);
  auto result = RunOp(dropout, {x});
  ASSERT_TRUE(result.ok());
  double dropped = 0, sum = 0;
  for (size_t i = 0; i < x.floats.size(); ++i) {
    const float mask = result->outputs[1].floats[i];
    EXPECT_TRUE(mask == 0 || mask == 1 / 0.75f);
    EXPECT_EQ(result->outputs[0].floats[i], x.floats[i] * mask);
    dropped += mask == 0;
    sum += result->outputs[0].floats[i];
  }
  EXPECT_NEAR(dropped / x.floats.size(), 0.25, 0.01);
  EXPECT_NEAR(sum / x.floats.size(), 1.5, 0.01);
}

// With its mask fixed (same stream, same step) dropout is a linear map.
TEST(DropoutTest, GradientGoesThroughTheMask) {
  op::Dropout dropout;
  const Value x = Random({3, 5}, 1);
  auto result = RunOp(dropout, {x});
  const std::vector<float> mask = result->outputs[1].floats;
  CheckOp(dropout, {x}, {0}, [&](const std::vector<std::vector<double>>& in) {
    std::vector<double> y = in[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] *= mask[i];
    return std::vector<std::vector<double>>{y};
  });
}

TEST(DropoutTest, TheRateIsChecked) {
  op::Dropout dropout;
  const TensorType x{DType::kFloat, Shape({-1, 2})};
  dropout.set_rate(1);
  EXPECT_EQ(InferError(dropout, {x}), "rate is 1; it must be in [0, 1)");
  dropout.set_rate(std::nanf(""));
  EXPECT_EQ(InferError(dropout, {x}), "rate is nan; it must be in [0, 1)");
}

TEST(SampleTest, BernoulliFollowsItsProbability) {
  auto result = RunOp(op::Sample(), {Floats({1, 3}, {0, 1, 0.3f})});
  ASSERT_TRUE(result.ok());
  double sum = 0;
  const Value p = Floats({1, 100000}, std::vector<float>(100000, 0.3f));
  const auto samples = RunOp(op::Sample(), {p});
  for (float x : samples->outputs[0].floats) {
    EXPECT_TRUE(x == 0 || x == 1);
    sum += x;
  }
  EXPECT_NEAR(sum / 100000, 0.3, 0.01);
  EXPECT_EQ(result->outputs[0].floats[0], 0);
  EXPECT_EQ(result->outputs[0].floats[1], 1);
}

TEST(SampleTest, GaussianHasItsDeviation) {
  op::Sample sample;
  sample.set_distribution(op::Sample::GAUSSIAN);
  sample.set_stddev(2);
  const Value mean = Floats({1, 100000}, std::vector<float>(100000, 5));
  double sum = 0, squares = 0;
  const auto samples = RunOp(sample, {mean});
  for (float x : samples->outputs[0].floats) {
    sum += x;
    squares += (x - 5) * (x - 5);
  }
  EXPECT_NEAR(sum / 100000, 5, 0.03);
  EXPECT_NEAR(std::sqrt(squares / 100000), 2, 0.03);
  sample.set_stddev(-1);
  EXPECT_EQ(InferError(sample, {mean.type}),
            "stddev is -1; it must be at least 0");
}

TEST(SampleTest, AStepGivesTheSameNumbersEachTime) {
  const Value p = Floats({1, 500}, std::vector<float>(500, 0.5f));
  const auto a = RunOp(op::Sample(), {p}, 3)->outputs[0].floats;
  EXPECT_EQ(a, RunOp(op::Sample(), {p}, 3)->outputs[0].floats);
  EXPECT_NE(a, RunOp(op::Sample(), {p}, 4)->outputs[0].floats);
}

}  // namespace
}  // namespace tamer
