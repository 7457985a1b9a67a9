#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/token_noise.pb.h"

namespace tamer {
namespace {

// Shares of the four fates over many tokens, and that targets tell the truth.
TEST(MaskTokensTest, SharesAreThoseOfThePaper) {
  op::MaskTokens mask;
  mask.set_vocabulary(50);
  std::vector<int32_t> tokens(100 * 1000);
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = i % 10 == 9 ? -1 : static_cast<int32_t>(i % 49);
  }
  auto result = RunOp(mask, {Ints({100, 1000}, tokens)}, 5);
  ASSERT_TRUE(result.ok()) << result.status();
  double chosen = 0, hidden = 0, replaced = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t noisy = result->outputs[0].ints[i];
    const int32_t target = result->outputs[1].ints[i];
    if (target < 0) {
      EXPECT_EQ(noisy, tokens[i]);
      continue;
    }
    EXPECT_GE(tokens[i], 0);
    EXPECT_EQ(target, tokens[i]);
    EXPECT_GE(noisy, 0);
    EXPECT_LT(noisy, 50);
    ++chosen;
    hidden += noisy == 49;
    replaced += noisy != 49 && noisy != tokens[i];
  }
  EXPECT_NEAR(chosen / 90000, 0.15, 0.005);
  EXPECT_NEAR(hidden / chosen, 0.8, 0.02);
  EXPECT_NEAR(replaced / chosen, 0.1 * 48 / 49, 0.02);
}

TEST(MaskTokensTest, EveryTokenMayComeInButTheHider) {
  op::MaskTokens mask;
  mask.set_vocabulary(4);
  mask.set_mask_token(1);
  mask.set_share(1);
  mask.set_masked(0);
  mask.set_replaced(1);
  auto result = RunOp(mask, {Ints({1, 3000}, std::vector<int32_t>(3000, 2))});
  ASSERT_TRUE(result.ok());
  std::vector<int> seen(4, 0);
  for (int32_t token : result->outputs[0].ints) ++seen[token];
  EXPECT_EQ(seen[1], 0);
  for (int token : {0, 2, 3}) EXPECT_NEAR(seen[token] / 3000.0, 1.0 / 3, 0.04);
}

TEST(MaskTokensTest, StepsRepeatAndDiffer) {
  op::MaskTokens mask;
  mask.set_vocabulary(9);
  const Value x = Ints({2, 100}, std::vector<int32_t>(200, 3));
  const auto run = [&](uint64_t step) {
    return RunOp(mask, {x}, step)->outputs[1].ints;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(MaskTokensTest, FaultsAreNamed) {
  op::MaskTokens mask;
  const std::vector<TensorType> tokens = {{DType::kInt32, Shape({-1, 8})}};
  EXPECT_EQ(InferError(mask, tokens), "vocabulary is 0; it must be at least 2");
  mask.set_vocabulary(10);
  mask.set_mask_token(10);
  EXPECT_EQ(InferError(mask, tokens),
            "mask_token is 10; it must be -1 or a token of the vocabulary");
  mask.set_mask_token(9);
  mask.set_share(0);
  EXPECT_EQ(InferError(mask, tokens), "share is 0; it must be in (0, 1]");
  mask.set_share(1);
  mask.set_replaced(0.5f);
  EXPECT_EQ(InferError(mask, tokens),
            "replaced is 0.5; it must be at least 0 and at most 1 - masked");
  EXPECT_EQ(InferError(mask, {{DType::kFloat, Shape({-1, 8})}}),
            "tokens must be INT32 [B, T], not FLOAT [B, 8]");
}

}  // namespace
}  // namespace tamer
