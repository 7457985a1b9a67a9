#include <limits>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(ElementwiseTest, ValuesAndGradients) {
  const std::vector<Value> two = {Random({3, 5}, 1), Random({3, 5}, 2)};
  const std::vector<Value> three = {two[0], two[1], Random({3, 5}, 3)};
  CheckOp(op::Add(), three, {0, 1, 2}, [](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i] + in[2][i];
    return std::vector<Doubles>{y};
  });
  CheckOp(op::Sub(), two, {0, 1}, [](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] -= in[1][i];
    return std::vector<Doubles>{y};
  });
  CheckOp(op::Mul(), two, {0, 1}, [](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] *= in[1][i];
    return std::vector<Doubles>{y};
  });
  CheckOp(op::Identity(), {two[0]}, {0},
          [](const std::vector<Doubles>& in) { return in; });
}

TEST(ElementwiseTest, MulByAScalar) {
  CheckOp(op::Mul(), {Random({3, 5}, 1), Random({}, 2)}, {0, 1},
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (double& v : y) v *= in[1][0];
            return std::vector<Doubles>{y};
          });
}

TEST(ElementwiseTest, ScaleMayDivideByTheBatch) {
  op::Scale scale;
  scale.set_factor(-3);
  scale.set_divide_by_batch(true);
  CheckOp(
      scale, {Random({4, 5}, 1)}, {0},
      [](const std::vector<Doubles>& in) {
        Doubles y = in[0];
        for (double& v : y) v *= -3.0 / 4;
        return std::vector<Doubles>{y};
      },
      2e-4, /*batch=*/4);
}

TEST(ElementwiseTest, LargeTensorsOnAnyNumberOfThreads) {
  CheckOp(op::Add(), {Random({100, 1001}, 1), Random({100, 1001}, 2)}, {},
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i];
            return std::vector<Doubles>{y};
          });
}

TEST(ElementwiseTest, InferErrorsShowTheShapes) {
  const TensorType a{DType::kFloat, Shape({-1, 4})};
  const TensorType b{DType::kFloat, Shape({-1, 5})};
  EXPECT_EQ(InferError(op::Add(), {a, b}),
            "input 1 must have input 0's shape, [B, 4], or one that is spread "
            "over it (its last dimensions, each as large or 1), but is [B, "
            "5]");
  EXPECT_EQ(InferError(op::Add(), {a}), "takes two inputs or more, not 1");
  op::Scale scale;
  scale.set_factor(std::numeric_limits<float>::infinity());
  EXPECT_EQ(InferError(scale, {a}), "factor is inf; it must be finite");
}

}  // namespace
}  // namespace tamer
