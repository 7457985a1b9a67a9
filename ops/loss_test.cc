#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/loss.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(SigmoidCrossEntropyTest, ValueAndGradient) {
  CheckOp(op::SigmoidCrossEntropy(),
          {Random({4, 6}, 1, -5, 5), Random({4, 6}, 2, 0, 1)}, {0},
          [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (size_t i = 0; i < in[0].size(); ++i) {
              const double s = 1 / (1 + std::exp(-in[0][i]));
              sum -= in[1][i] * std::log(s) + (1 - in[1][i]) * std::log(1 - s);
            }
            return std::vector<Doubles>{{sum / 4}};
          });
}

TEST(SigmoidCrossEntropyTest, ExtremeLogitsStayFinite) {
  auto result = RunOp(op::SigmoidCrossEntropy(),
                      {Floats({1, 2}, {1e4, -1e4}), Floats({1, 2}, {0, 0})});
  ASSERT_TRUE(result.ok());
  EXPECT_FLOAT_EQ(result->outputs[0].floats[0], 1e4f);
}

TEST(MeanSquaredErrorTest, ValueAndBothGradients) {
  CheckOp(op::MeanSquaredError(), {Random({4, 6}, 1), Random({4, 6}, 2)},
          {0, 1}, [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (size_t i = 0; i < in[0].size(); ++i) {
              sum += (in[0][i] - in[1][i]) * (in[0][i] - in[1][i]);
            }
            return std::vector<Doubles>{{sum / 24}};
          });
}

TEST(L1Test, ValueAndBothGradients) {
  CheckOp(op::L1(), {Random({4, 6}, 1), Random({4, 6}, 2)}, {0, 1},
          [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (size_t i = 0; i < in[0].size(); ++i) {
              sum += std::fabs(in[0][i] - in[1][i]);
            }
            return std::vector<Doubles>{{sum / 24}};
          });
}

}  // namespace
}  // namespace tamer
