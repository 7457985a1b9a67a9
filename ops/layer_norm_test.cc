#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

Reference Rows(int64_t n, bool centred) {
  return [=](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (size_t r = 0; r < y.size(); r += n) {
      double mean = 0, squares = 0;
      for (int64_t i = 0; i < n && centred; ++i) mean += y[r + i] / n;
      for (int64_t i = 0; i < n; ++i) {
        squares += (y[r + i] - mean) * (y[r + i] - mean) / n;
      }
      for (int64_t i = 0; i < n; ++i) {
        y[r + i] = (y[r + i] - mean) / std::sqrt(squares + 1e-5f) * in[1][i] +
                   (centred ? in[2][i] : 0);
      }
    }
    return std::vector<Doubles>{y};
  };
}

TEST(LayerNormTest, ValuesAndGradients) {
  for (int64_t n : {1, 2, 37, 64}) {
    const Value x = Random({2, 3, n}, 1, -2, 3);
    const Value scale = Random({n}, 2, 0.5, 1.5), shift = Random({n}, 3);
    CheckOp(op::LayerNorm(), {x, scale, shift}, {0, 1, 2}, Rows(n, true));
    CheckOp(op::RMSNorm(), {x, scale}, {0, 1}, Rows(n, false));
  }
}

TEST(LayerNormTest, ManyRowsOnAnyNumberOfThreads) {
  const Value scale = Random({100}, 2), shift = Random({100}, 3);
  CheckOp(op::LayerNorm(), {Random({500, 100}, 1), scale, shift}, {},
          Rows(100, true));
  // Gradients: blocks of rows, with a last one that isn't whole.
  const Value x = Random({67, 5}, 4);
  CheckOp(op::LayerNorm(), {x, Random({5}, 5), Random({5}, 6)}, {0, 1, 2},
          Rows(5, true));
  op::RowNormGradient gradient;
  CheckOp(gradient,
          {Random({500, 100}, 7), Random({500, 100}, 8), scale,
           Random({500}, 9), Random({500}, 10, 1, 2)},
          {},
          [](const std::vector<Doubles>&) { return std::vector<Doubles>(); });
}

TEST(LayerNormTest, ConstantRowsAndLargeMeans) {
  auto constant =
      RunOp(op::LayerNorm(),
            {Floats({1, 2}, {5, 5}), Floats({2}, {1, 1}), Floats({2}, {0, 3})});
  ASSERT_TRUE(constant.ok());
  EXPECT_EQ(constant->outputs[0].floats, (std::vector<float>{0, 3}));
  Value x = Random({4, 64}, 1);
  for (float& v : x.floats) v = std::nearbyint(v * 64) / 64 + 4096;
  CheckOp(op::LayerNorm(), {x, Random({64}, 2), Random({64}, 3)}, {},
          Rows(64, true), 1e-3);
}

TEST(LayerNormTest, Errors) {
  EXPECT_EQ(InferError(op::LayerNorm(), {{DType::kFloat, Shape({-1})}}),
            "the input must be [B, ..., features], but is [B]");
  op::RMSNorm negative;
  negative.set_epsilon(-1);
  EXPECT_EQ(InferError(negative, {{DType::kFloat, Shape({-1, 4})}}),
            "epsilon is -1; it must be above 0 and below 1");
}

}  // namespace
}  // namespace tamer
