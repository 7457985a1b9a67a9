#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// Sums x of shape [2, 3, 4] over the axes in `reduced`, naively.
Doubles SumOver(const Doubles& x, std::vector<bool> reduced, double factor) {
  const int d[3] = {2, 3, 4};
  std::vector<int> kept;
  int size = 1;
  for (int i = 0; i < 3; ++i) size *= reduced[i] ? 1 : d[i];
  Doubles y(size, 0);
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 3; ++b) {
      for (int c = 0; c < 4; ++c) {
        int at = 0;
        if (!reduced[0]) at = at * 2 + a;
        if (!reduced[1]) at = at * 3 + b;
        if (!reduced[2]) at = at * 4 + c;
        y[at] += factor * x[(a * 3 + b) * 4 + c];
      }
    }
  }
  return y;
}

TEST(ReduceTest, EveryChoiceOfAxes) {
  for (int mask = 1; mask < 8; ++mask) {
    for (bool mean : {false, true}) {
      op::Reduce reduce;
      std::vector<bool> reduced;
      double count = 1;
      for (int i = 0; i < 3; ++i) {
        reduced.push_back(mask >> i & 1);
        if (reduced[i]) reduce.add_axis(i);
        if (reduced[i]) count *= i + 2;
      }
      if (mean) reduce.set_kind(op::Reduce::MEAN);
      SCOPED_TRACE(mask);
      CheckOp(reduce, {Random({2, 3, 4}, 1)}, {0},
              [&](const std::vector<Doubles>& in) {
                return std::vector<Doubles>{
                    SumOver(in[0], reduced, mean ? 1 / count : 1)};
              });
    }
  }
}

TEST(BroadcastLikeTest, SpreadsAndItsGradientSums) {
  for (bool mean : {false, true}) {
    op::BroadcastLike spread;
    spread.add_axis(0);
    spread.add_axis(2);
    if (mean) spread.set_kind(op::Reduce::MEAN);
    CheckOp(spread, {Random({3}, 1), Random({2, 3, 4}, 2)}, {0},
            [&](const std::vector<Doubles>& in) {
              Doubles y(24);
              for (int i = 0; i < 24; ++i) {
                y[i] = in[0][i / 4 % 3] * (mean ? 1.0 / 8 : 1);
              }
              return std::vector<Doubles>{y};
            });
  }
  EXPECT_EQ(InferError(op::BroadcastLike(), {{DType::kFloat, Shape({3})},
                                             {DType::kFloat, Shape({-1, 3})}}),
            "cannot spread [3] over [B, 3]");
}

TEST(ReduceTest, LargeSumsOnAnyNumberOfThreads) {
  CheckOp(op::Reduce(), {Random({300, 1000}, 1, 0, 1)}, {},
          [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (double x : in[0]) sum += x;
            return std::vector<Doubles>{{sum}};
          });
  op::Reduce rows;
  rows.add_axis(0);
  CheckOp(rows, {Random({300, 1000}, 1)}, {},
          [](const std::vector<Doubles>& in) {
            Doubles y(1000, 0);
            for (size_t i = 0; i < in[0].size(); ++i) y[i % 1000] += in[0][i];
            return std::vector<Doubles>{y};
          });
}

TEST(ReduceTest, ErrorsNameTheAxis) {
  op::Reduce reduce;
  reduce.add_axis(1);
  reduce.add_axis(-1);
  EXPECT_EQ(InferError(reduce, {{DType::kFloat, Shape({-1, 4})}}),
            "axis -1 is named twice");
}

TEST(ConstantTest, IsFilled) {
  op::Constant constant;
  constant.add_shape(3);
  constant.set_value(2.5);
  auto result = RunOp(constant, {});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].floats, std::vector<float>(3, 2.5f));
  constant.add_shape(0);
  EXPECT_EQ(
      InferError(constant, {}),
      "shape has the dimension 0; each must be at least 1, and all not too "
      "large");
}

TEST(ParameterTest, OwnsATensorAndHasNoOutput) {
  op::Parameter parameter;
  parameter.add_shape(2);
  auto result = RunOp(parameter, {Random({2}, 1)});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->outputs.empty());
}

}  // namespace
}  // namespace tamer
