#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(LocalResponseNormTest, ValuesAndGradients) {
  op::LocalResponseNorm params;
  params.set_size(3);
  params.set_alpha(0.5);
  params.set_k(2);
  for (int64_t channels : {1, 2, 7}) {
    for (int64_t inner : {1, 20}) {
      CheckOp(params, {Random({2, channels, inner}, 1, -2, 2)}, {0},
              [=](const std::vector<Doubles>& in) {
                Doubles y = in[0];
                for (int64_t i = 0; i < static_cast<int64_t>(y.size()); ++i) {
                  const int64_t c = i / inner % channels;
                  double s = 2;
                  for (int64_t d = -1; d <= 1; ++d) {
                    if (c + d < 0 || c + d >= channels) continue;
                    const double x = in[0][i + d * inner];
                    s += 0.5 / 3 * x * x;
                  }
                  y[i] = in[0][i] * std::pow(s, -0.75);
                }
                return std::vector<Doubles>{y};
              });
    }
  }
  CheckOp(params, {Random({4, 8, 30, 30}, 2)}, {},
          [](const std::vector<Doubles>&) { return std::vector<Doubles>(); });
}

TEST(LocalResponseNormTest, Errors) {
  op::LocalResponseNorm even;
  even.set_size(4);
  EXPECT_EQ(InferError(even, {{DType::kFloat, Shape({-1, 4, 3})}}),
            "size is 4; it must be odd, from 1 on");
  EXPECT_EQ(
      InferError(op::LocalResponseNorm(), {{DType::kFloat, Shape({-1, 4})}}),
      "the input must be [B, channels, ...], but is [B, 4]");
}

}  // namespace
}  // namespace tamer
