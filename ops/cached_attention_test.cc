#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/attention.pb.h"

namespace tamer {
namespace {

op::CachedAttention Params(int heads, int context, bool rotary) {
  op::CachedAttention params;
  params.set_context(context);
  params.mutable_attention()->set_heads(heads);
  params.mutable_attention()->set_causal(true);
  params.mutable_attention()->set_rotary(rotary);
  return params;
}

// Rows [begin, end) of a sequence [1, T, width].
Value Part(const Value& x, int64_t begin, int64_t end) {
  const int64_t width = x.type.shape.back();
  return Floats({1, end - begin, width}, {x.floats.begin() + begin * width,
                                          x.floats.begin() + end * width});
}

// Piece by piece it gives what Attention gives for all at once.
void CheckPieces(int heads, int width, bool rotary,
                 const std::vector<int64_t>& pieces) {
  int64_t length = 0;
  for (int64_t piece : pieces) length += piece;
  const op::CachedAttention params = Params(heads, length + 3, rotary);
  const Value x = Random({1, length, 3 * width}, 5, -2, 2);
  const auto whole = RunOp(params.attention(), {x});
  ASSERT_TRUE(whole.ok()) << whole.status();
  Value keys =
      Floats({length + 3, width}, std::vector<float>((length + 3) * width, 7));
  Value values = keys;
  int64_t at = 0;
  for (int64_t piece : pieces) {
    auto result =
        RunOp(params, {Part(x, at, at + piece),
                       Ints({}, {static_cast<int32_t>(at)}), keys, values});
    ASSERT_TRUE(result.ok()) << result.status();
    const Value expected = Part(whole->outputs[0], at, at + piece);
    for (size_t i = 0; i < expected.floats.size(); ++i) {
      EXPECT_NEAR(result->outputs[0].floats[i], expected.floats[i], 1e-5)
          << "from " << at << ", element " << i;
    }
    keys = result->inputs[2];
    values = result->inputs[3];
    at += piece;
  }
}

TEST(CachedAttentionTest, GivesWhatAttentionGives) {
  CheckPieces(2, 8, false, {1, 1, 1, 1, 1});
  CheckPieces(2, 8, true, {3, 1, 5, 1});
  CheckPieces(1, 40, true, {1, 200, 1, 1});
}

TEST(CachedAttentionTest, BehindTheContextIsAnError) {
  const op::CachedAttention params = Params(1, 4, false);
  const Value cache = Floats({4, 2}, std::vector<float>(8));
  for (int32_t position : {4, -1}) {
    const auto result = RunOp(
        params, {Random({1, 1, 6}, 1), Ints({}, {position}), cache, cache});
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.status().message().find("context of 4"),
              std::string::npos);
  }
}

TEST(CachedAttentionTest, MistakesAreNamed) {
  const TensorType x = {DType::kFloat, Shape({-1, 1, 6})};
  const TensorType position = {DType::kInt32, Shape()};
  EXPECT_EQ(InferError(Params(1, 0, false), {x, position}),
            "context is 0; it must be T, here 1, to 1048576");
  EXPECT_EQ(InferError(Params(1, 4, false), {x, x}),
            "position must be INT32 [], but is FLOAT [B, 1, 6]");
  EXPECT_EQ(InferError(Params(3, 4, false), {x, position}),
            "heads is 3; it must divide the width 2");
  op::CachedAttention both = Params(1, 4, false);
  both.mutable_attention()->set_causal(false);
  EXPECT_EQ(InferError(both, {x, position}),
            "only causal attention can be cached");
}

}  // namespace
}  // namespace tamer
