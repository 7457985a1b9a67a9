#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/smooth_activation.pb.h"

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

// On sizes beside multiples of a vector's width, and on one element.
template <typename Function>
void CheckFunction(const OpParams& params, float low, float high,
                   Function function) {
  CheckOp(params, {Random({1, 1}, 3, low, high)}, {0}, Elementwise(function));
  CheckOp(params, {Random({5, 37}, 5, low, high)}, {0}, Elementwise(function));
  CheckOp(params, {Random({200, 257}, 6, low, high)}, {},
          Elementwise(function));
}

TEST(SmoothActivationTest, ValuesAndGradients) {
  op::Elu elu;
  elu.set_alpha(0.7f);
  CheckFunction(elu, -4, 4, [](double x) {
    return x > 0 ? x : double{0.7f} * (std::exp(x) - 1);
  });
  CheckFunction(op::Selu(), -4, 4, [](double x) {
    return 1.0507009873554805 *
           (x > 0 ? x : 1.6732632423543772 * (std::exp(x) - 1));
  });
  for (float beta : {1.0f, -0.5f, 3.0f}) {
    op::Silu silu;
    silu.set_beta(beta);
    CheckFunction(silu, -4, 4,
                  [beta](double x) { return x / (1 + std::exp(-beta * x)); });
  }
  CheckFunction(op::HardSwish(), -5, 5, [](double x) {
    return x * std::min(1.0, std::max(0.0, x / 6 + 0.5));
  });
  CheckFunction(op::Softplus(), -9, 9,
                [](double x) { return std::log1p(std::exp(x)); });
}

TEST(ElementwiseFunctionTest, ValuesAndGradients) {
  CheckFunction(op::Exp(), -4, 4, [](double x) { return std::exp(x); });
  CheckFunction(op::Log(), 0.1f, 9, [](double x) { return std::log(x); });
  CheckFunction(op::Sqrt(), 0.1f, 9, [](double x) { return std::sqrt(x); });
  for (float exponent : {2.0f, 3.0f, -1.0f, 0.5f, 0.0f}) {
    op::Pow pow;
    pow.set_exponent(exponent);
    CheckFunction(pow, 0.3f, 2,
                  [exponent](double x) { return std::pow(x, exponent); });
  }
  op::Pow cube;
  cube.set_exponent(3);
  CheckFunction(cube, -2, 2, [](double x) { return x * x * x; });
  op::Clip clip;
  clip.set_min(-0.5f);
  CheckFunction(clip, -2, 2,
                [](double x) { return std::min(1.0, std::max(-0.5, x)); });
}

TEST(ElementwiseFunctionTest, TheEndsOfTheRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto at = [](const OpParams& params, float x) {
    return RunOp(params, {Floats({1, 1}, {x})})->outputs[0].floats[0];
  };
  EXPECT_EQ(at(op::Log(), 0), -infinity);
  EXPECT_EQ(at(op::Log(), infinity), infinity);
  EXPECT_TRUE(std::isnan(at(op::Log(), -1)));
  EXPECT_TRUE(std::isnan(at(op::Sqrt(), -1)));
  EXPECT_EQ(at(op::Log(), 1), 0);
  EXPECT_NEAR(at(op::Log(), 1e-37f), std::log(1e-37), 1e-4);
  EXPECT_EQ(at(op::Exp(), -1000), 0);
  EXPECT_FLOAT_EQ(at(op::Softplus(), -30), std::exp(-30.0f));
  EXPECT_FLOAT_EQ(at(op::Softplus(), 100), 100);
  EXPECT_NEAR(at(op::Silu(), -200), 0, 1e-30);
  EXPECT_FLOAT_EQ(at(op::Silu(), 200), 200);
}

TEST(SmoothActivationTest, ParametersOutOfRangeAreNamed) {
  const std::vector<TensorType> x = {{DType::kFloat, Shape({-1, 4})}};
  op::Elu elu;
  elu.set_alpha(-1);
  EXPECT_EQ(InferError(elu, x), "alpha is -1; it must be at least 0");
  op::Pow pow;
  pow.set_exponent(NAN);
  EXPECT_EQ(InferError(pow, x), "exponent is nan; it must be finite");
  op::Clip clip;
  clip.set_min(2);
  EXPECT_EQ(InferError(clip, x),
            "min is 2 and max 1; min must not be above max");
  EXPECT_EQ(InferError(op::Silu(), {{DType::kInt32, Shape({-1})}}),
            "input 0 must be FLOAT, not INT32 [B]");
}

}  // namespace
}  // namespace tamer
