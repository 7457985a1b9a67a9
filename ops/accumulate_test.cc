#include <omp.h>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/accumulate.pb.h"

namespace tamer {
namespace {

TEST(AccumulateTest, ARunningMean) {
  for (const auto& shape :
       std::vector<std::vector<int64_t>>{{1}, {37}, {300, 70}, {40000}}) {
    const Value a = Random(shape, 1), g = Random(shape, 2);
    const auto result =
        RunOp(op::Accumulate(), {a, g, Floats({}, {0.3f}), Floats({}, {0.7f})});
    ASSERT_TRUE(result.ok()) << result.status();
    for (size_t i = 0; i < a.floats.size(); ++i) {
      ASSERT_NEAR(result->inputs[0].floats[i],
                  0.7 * a.floats[i] + 0.3 * g.floats[i], 1e-6);
    }
  }
}

// The gradient as a product, with sizes that fit tiles and that don't.
TEST(AccumulateTest, ProductsAreAddedAsTheyAreMade) {
  for (const auto& size : std::vector<std::vector<int64_t>>{
           {7, 5, 3}, {25, 300, 70}, {100, 256, 128}}) {
    const int64_t depth = size[0], rows = size[1], columns = size[2];
    op::Accumulate fused;
    fused.mutable_settings()->add_product();
    const Value p = Random({rows, columns}, 1), a = Random({depth, rows}, 2),
                b = Random({depth, columns}, 3);
    const std::vector<Value> inputs = {p, a, b, Floats({}, {0.25f}),
                                       Floats({}, {0.75f})};
    const int before = omp_get_max_threads();
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      const auto result = RunOp(fused, inputs, 0, depth);
      ASSERT_TRUE(result.ok()) << result.status();
      results.push_back(result->inputs[0].floats);
    }
    omp_set_num_threads(before);
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (int64_t d = 0; d < depth; ++d) {
          sum += double{a.floats[d * rows + r]} * b.floats[d * columns + c];
        }
        ASSERT_NEAR(results[0][r * columns + c],
                    0.75 * p.floats[r * columns + c] + 0.25 * sum, 2e-5);
      }
    }
  }
}

TEST(AccumulateTest, WhatBelongsToTheUpdateIsRefused) {
  const TensorType p{DType::kFloat, Shape({3})}, scalar;
  op::Accumulate decays;
  decays.mutable_settings()->set_weight_decay(0.1f);
  EXPECT_EQ(InferError(decays, {p, p, scalar, scalar}),
            "weight_decay, max_norm and learning_rate_multiplier belong to the "
            "update that follows");
  EXPECT_NE(InferError(op::Accumulate(), {p, p, scalar}), "");
}

}  // namespace
}  // namespace tamer
