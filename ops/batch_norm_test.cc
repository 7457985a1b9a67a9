#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// Of a tensor seen as [outer, channels, inner], by in[first] = scale and so on;
// in[1] is a residual if first is 2.
Reference Normalised(int64_t channels, int64_t inner, size_t first, bool relu,
                     bool running, double epsilon) {
  return [=](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    const auto channel = [&](size_t i) { return i / inner % channels; };
    Doubles mean(channels, 0), variance(channels, 0);
    const double n = static_cast<double>(y.size()) / channels;
    for (size_t i = 0; i < y.size(); ++i) mean[channel(i)] += y[i] / n;
    for (size_t i = 0; i < y.size(); ++i) {
      const double d = y[i] - mean[channel(i)];
      variance[channel(i)] += d * d / n;
    }
    if (running) mean = in[first + 2], variance = in[first + 3];
    for (size_t i = 0; i < y.size(); ++i) {
      const auto c = channel(i);
      y[i] =
          (y[i] - mean[c]) / std::sqrt(variance[c] + epsilon) * in[first][c] +
          in[first + 1][c];
      if (first == 2) y[i] += in[1][i];
      if (relu) y[i] = std::max(0.0, y[i]);
    }
    return std::vector<Doubles>{y};
  };
}

std::vector<Value> WithVariables(std::vector<Value> inputs, int64_t channels) {
  inputs.push_back(Random({channels}, 21, 0.5, 1.5));
  inputs.push_back(Random({channels}, 22));
  inputs.push_back(Random({channels}, 23));
  inputs.push_back(Random({channels}, 24, 0.5, 2));
  return inputs;
}

op::BatchNorm Params(bool relu, bool running, bool last) {
  op::BatchNorm params;
  if (relu) params.set_activation(op::RELU);
  params.set_running(running);
  params.set_channels_last(last);
  params.set_epsilon(1e-3);
  return params;
}

TEST(BatchNormTest, ValuesAndGradients) {
  for (bool relu : {false, true}) {
    for (bool running : {false, true}) {
      const auto check = [&](std::vector<int64_t> shape, bool last,
                             int64_t channels, int64_t inner) {
        const Value x = Random(shape, 3, -2, 3);
        CheckOp(Params(relu, running, last), WithVariables({x}, channels),
                {0, 1, 2},
                Normalised(channels, inner, 1, relu, running, 1e-3f));
        CheckOp(Params(relu, running, last),
                WithVariables({x, Random(shape, 4)}, channels), {0, 1, 2, 3},
                Normalised(channels, inner, 2, relu, running, 1e-3f));
      };
      check({3, 5, 4, 3}, false, 5, 12);
      check({3, 2, 19}, false, 2, 19);
      check({2, 3, 2, 21}, true, 21, 1);
      check({7, 3}, false, 3, 1);
      check({2, 2, 1, 1}, false, 2, 1);
    }
  }
}

TEST(BatchNormTest, EqualBitsOnLargeImages) {
  for (bool last : {false, true}) {
    const int64_t channels = last ? 24 : 20;
    CheckOp(Params(true, false, last),
            WithVariables({Random({10, 20, 24, 24}, 5)}, channels), {},
            Normalised(channels, last ? 1 : 576, 1, true, false, 1e-3f));
  }
}

TEST(BatchNormTest, RunningStatisticsFollow) {
  op::BatchNorm params;
  params.set_momentum(0.25);
  auto result =
      RunOp(params, {Floats({2, 1, 2}, {1, 2, 3, 6}), Floats({1}, {1}),
                     Floats({1}, {0}), Floats({1}, {10}), Floats({1}, {2})});
  ASSERT_TRUE(result.ok());
  EXPECT_FLOAT_EQ(result->inputs[3].floats[0], 0.75 * 10 + 0.25 * 3);
  // Of division by N - 1: 14 / 3.
  EXPECT_FLOAT_EQ(result->inputs[4].floats[0], 0.75 * 2 + 0.25 * 14 / 3);
  params.set_running(true);
  auto still = RunOp(params, result->inputs);
  ASSERT_TRUE(still.ok());
  EXPECT_EQ(still->inputs[3].floats, result->inputs[3].floats);
  EXPECT_EQ(still->inputs[4].floats, result->inputs[4].floats);
}

// The deviation survives a mean ten thousand times as large.
TEST(BatchNormTest, LargeMeans) {
  for (bool last : {false, true}) {
    Value x = Random(
        last ? std::vector<int64_t>{8, 50, 1} : std::vector<int64_t>{8, 1, 50},
        6);
    for (float& v : x.floats) v = std::nearbyint(v * 64) / 64 + 4096;
    CheckOp(Params(false, false, last), WithVariables({x}, 1), {},
            Normalised(1, 1, 1, false, false, 1e-3f), 1e-3);
  }
}

TEST(BatchNormTest, Errors) {
  auto alone = RunOp(op::BatchNorm(), WithVariables({Random({1, 3}, 1)}, 3));
  EXPECT_EQ(alone.status().message(),
            "in training it needs two values a channel at least, but the input "
            "is [1, 3]; use a larger minibatch, one that doesn't leave a "
            "single sample over");
  const TensorType x{DType::kFloat, Shape({-1, 3, 8, 8})};
  op::BatchNorm tanh;
  tanh.set_activation(op::TANH);
  EXPECT_EQ(InferError(tanh, {x}),
            "activation is TANH; it must be LINEAR or RELU, others are nodes "
            "of their own");
  op::BatchNorm still;
  still.set_momentum(0);
  EXPECT_EQ(InferError(still, {x}),
            "momentum is 0; it must be above 0, at most 1");
  EXPECT_EQ(InferError(op::BatchNorm(), {{DType::kFloat, Shape({-1})}}),
            "the input must be [B, channels, ...], but is [B]");
  EXPECT_EQ(InferError(op::BatchNorm(), {x, {DType::kFloat, Shape({-1, 3})}}),
            "inputs must be of one shape, but input 0 is [B, 3, 8, 8] and "
            "input 1 is [B, 3]");
}

}  // namespace
}  // namespace tamer
