#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/activation.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

template <typename Function>
Reference Elementwise(Function function) {
  return [function](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (double& x : y) x = function(x);
    return std::vector<Doubles>{y};
  };
}

TEST(ActivationTest, ValuesAndGradients) {
  const std::vector<Value> x = {Random({10, 37}, 5, -4, 4)};
  CheckOp(op::Sigmoid(), x, {0},
          Elementwise([](double v) { return 1 / (1 + std::exp(-v)); }));
  CheckOp(op::Tanh(), x, {0},
          Elementwise([](double v) { return std::tanh(v); }));
  CheckOp(op::Relu(), x, {0},
          Elementwise([](double v) { return std::max(v, 0.0); }));
  CheckOp(op::Gelu(), x, {0}, Elementwise([](double v) {
            return v * 0.5 * (1 + std::erf(v / std::sqrt(2.0)));
          }));
  op::LeakyRelu leaky;
  leaky.set_slope(0.3);
  CheckOp(leaky, x, {0},
          Elementwise([](double v) { return v > 0 ? v : 0.3f * v; }));
}

TEST(ActivationTest, LargeTensorsOnAnyNumberOfThreads) {
  CheckOp(op::Sigmoid(), {Random({100, 1000}, 6, -30, 30)}, {},
          Elementwise([](double v) { return 1 / (1 + std::exp(-v)); }));
}

TEST(ActivationTest, ASlopeOutOfRangeIsNamed) {
  op::LeakyRelu leaky;
  leaky.set_slope(-1);
  EXPECT_EQ(InferError(leaky, {{DType::kFloat, Shape({-1, 4})}}),
            "slope is -1; it must be in [0, 1]");
}

Doubles SoftmaxRows(const Doubles& x, int columns, bool log) {
  Doubles y = x;
  for (size_t r = 0; r < x.size(); r += columns) {
    double sum = 0;
    for (int c = 0; c < columns; ++c) sum += std::exp(x[r + c]);
    for (int c = 0; c < columns; ++c) {
      y[r + c] = log ? x[r + c] - std::log(sum) : std::exp(x[r + c]) / sum;
    }
  }
  return y;
}

TEST(SoftmaxTest, ValuesAndGradients) {
  for (int rows : {1, 10}) {
    const std::vector<Value> x = {Random({rows, 9}, 7, -5, 5)};
    CheckOp(op::Softmax(), x, {0}, [](const std::vector<Doubles>& in) {
      return std::vector<Doubles>{SoftmaxRows(in[0], 9, false)};
    });
    CheckOp(op::LogSoftmax(), x, {0}, [](const std::vector<Doubles>& in) {
      return std::vector<Doubles>{SoftmaxRows(in[0], 9, true)};
    });
  }
}

TEST(SoftmaxTest, LargeLogitsDoNotOverflow) {
  auto result = RunOp(op::Softmax(), {Floats({1, 3}, {1000, 999, -1000})});
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(result->outputs[0].floats[0], 1 / (1 + std::exp(-1.0)), 1e-5);
  EXPECT_EQ(result->outputs[0].floats[2], 0);
}

}  // namespace
}  // namespace tamer
