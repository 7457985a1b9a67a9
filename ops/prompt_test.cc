#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/prompt.pb.h"

namespace tamer {
namespace {

TEST(IgnorePromptTest, AsksForWhatFollowsTheFirstSeparator) {
  op::IgnorePrompt ignore;
  ignore.set_separator(7);
  auto result = RunOp(ignore, {Ints({4, 5}, {1, 7, 2,  7,  3,   //
                                             5, 6, 1,  2,  -1,  //
                                             1, 2, 3,  4,  -1,  //
                                             7, 8, -1, -1, -1}),
                               Ints({4, 5}, {0, 1, 7, 2,  7,  //
                                             7, 5, 6, 1,  2,  //
                                             0, 1, 2, 3,  4,  //
                                             0, 7, 8, -1, -1})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outputs[0].ints,
            (std::vector<int32_t>{-1, -1, 2,  7,  3,   //
                                  5,  6,  1,  2,  -1,  //
                                  -1, -1, -1, -1, -1,  //
                                  -1, 8,  -1, -1, -1}));
}

TEST(IgnorePromptTest, FaultsAreNamed) {
  op::IgnorePrompt ignore;
  const TensorType tokens{DType::kInt32, Shape({-1, 5})};
  EXPECT_EQ(InferError(ignore, {tokens, tokens}),
            "no separator is given; name the token that ends prompts");
  ignore.set_separator(-2);
  EXPECT_EQ(InferError(ignore, {tokens, tokens}),
            "separator is -2; it must be at least 0");
  ignore.set_separator(0);
  EXPECT_EQ(InferError(ignore, {tokens, {DType::kFloat, Shape({-1, 5})}}),
            "targets and tokens must be INT32 [B, T], not INT32 [B, 5] and "
            "FLOAT [B, 5]");
}

}  // namespace
}  // namespace tamer
