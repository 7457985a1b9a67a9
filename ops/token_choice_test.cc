#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/token_choice.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

RunResult Keep(int rows, int tokens, float mask, uint64_t step = 0) {
  op::RandomKeep keep;
  keep.set_mask(mask);
  auto result = RunOp(keep, {Random({rows, tokens, 2}, 1)}, step);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(RandomKeepTest, KeptAndHiddenAreAllTokensInOrder) {
  for (int tokens : {2, 5, 49}) {
    const RunResult result = Keep(70, tokens, 0.6f);
    const std::vector<int32_t>& kept = result.outputs[0].ints;
    const std::vector<int32_t>& hidden = result.outputs[1].ints;
    const int h = static_cast<int>(std::lround(0.6 * tokens)), k = tokens - h;
    ASSERT_EQ(kept.size(), 70u * k);
    for (int r = 0; r < 70; ++r) {
      std::set<int32_t> all(kept.begin() + r * k, kept.begin() + (r + 1) * k);
      EXPECT_EQ(all.size(), static_cast<size_t>(k));
      EXPECT_TRUE(
          std::is_sorted(kept.begin() + r * k, kept.begin() + (r + 1) * k));
      EXPECT_TRUE(
          std::is_sorted(hidden.begin() + r * h, hidden.begin() + (r + 1) * h));
      all.insert(hidden.begin() + r * h, hidden.begin() + (r + 1) * h);
      EXPECT_EQ(all.size(), static_cast<size_t>(tokens));
      EXPECT_EQ(*all.begin(), 0);
      EXPECT_EQ(*all.rbegin(), tokens - 1);
    }
  }
}

// All six pairs of four tokens come equally often: chi-squared with five
// degrees of freedom stays below 20 with 99.9 % probability.
TEST(RandomKeepTest, AllSubsetsAreAlike) {
  const int rows = 6000;
  const RunResult result = Keep(rows, 4, 0.5f);
  std::map<std::pair<int, int>, int> seen;
  for (int r = 0; r < rows; ++r) {
    ++seen[{result.outputs[0].ints[2 * r], result.outputs[0].ints[2 * r + 1]}];
  }
  EXPECT_EQ(seen.size(), 6u);
  double squares = 0;
  for (const auto& entry : seen) {
    squares += (entry.second - 1000.0) * (entry.second - 1000.0) / 1000;
  }
  EXPECT_LT(squares, 20);
}

TEST(RandomKeepTest, StepsDifferAndRepeat) {
  EXPECT_EQ(Keep(9, 20, 0.5f, 3).outputs[0].ints,
            Keep(9, 20, 0.5f, 3).outputs[0].ints);
  EXPECT_NE(Keep(9, 20, 0.5f, 3).outputs[0].ints,
            Keep(9, 20, 0.5f, 4).outputs[0].ints);
}

TEST(RandomKeepTest, FaultsAreNamed) {
  op::RandomKeep keep;
  keep.set_mask(1);
  const std::vector<TensorType> tokens = {{DType::kFloat, Shape({-1, 4, 8})}};
  EXPECT_EQ(InferError(keep, tokens), "mask is 1; it must be in (0, 1)");
  keep.set_mask(0.9f);
  EXPECT_EQ(InferError(keep, tokens),
            "a mask of 0.9 hides 4 of 4 tokens; at least one must be hidden "
            "and one stay");
  EXPECT_EQ(InferError(keep, {{DType::kFloat, Shape({-1})}}),
            "x must be [B, tokens, ...], not [B]");
}

TEST(TakeTokensTest, ValuesAndGradients) {
  // Places out of order, and one taken twice.
  CheckOp(op::TakeTokens(),
          {Random({2, 5, 3}, 2), Ints({2, 4}, {4, 0, 2, 0, 1, 1, 3, 2})}, {0},
          [](const std::vector<Doubles>& in) {
            Doubles y;
            for (int i = 0; i < 8; ++i) {
              const int place = i / 4 * 5 + static_cast<int>(in[1][i]);
              for (int c = 0; c < 3; ++c) y.push_back(in[0][place * 3 + c]);
            }
            return std::vector<Doubles>{y};
          });
}

TEST(TakeTokensTest, FaultsAreNamed) {
  const TensorType x{DType::kFloat, Shape({-1, 5, 3})};
  EXPECT_EQ(InferError(op::TakeTokens(), {x, {DType::kFloat, Shape({-1, 2})}}),
            "index must be INT32, a row of places for each sample of "
            "[B, 5, 3], not FLOAT [B, 2]");
  EXPECT_EQ(InferError(op::TakeTokens(), {{DType::kFloat, Shape({-1, 5})},
                                          {DType::kInt32, Shape({-1, 2})}}),
            "x must be FLOAT [B, tokens, features], not FLOAT [B, 5]");
  auto result =
      RunOp(op::TakeTokens(), {Random({1, 5, 3}, 2), Ints({1, 2}, {0, 5})});
  EXPECT_EQ(result.status().message(), "an index lies outside of the 5 tokens");
}

TEST(PlaceTokensTest, ValuesAndGradients) {
  op::PlaceTokens place;
  place.set_tokens(6);
  CheckOp(place, {Random({2, 3, 17}, 3), Ints({2, 3}, {5, 0, 5, 1, 2, 3})}, {0},
          [](const std::vector<Doubles>& in) {
            Doubles y(2 * 6 * 17, 0);
            for (int i = 0; i < 6; ++i) {
              const int to = i / 3 * 6 + static_cast<int>(in[1][i]);
              for (int c = 0; c < 17; ++c) y[to * 17 + c] += in[0][i * 17 + c];
            }
            return std::vector<Doubles>{y};
          });
  place.set_tokens(0);
  EXPECT_EQ(InferError(place, {{DType::kFloat, Shape({-1, 2, 3})},
                               {DType::kInt32, Shape({-1, 2})}}),
            "tokens is 0; it must be 1 to 2147483647");
}

TEST(RestoreTokensTest, ValuesAndGradients) {
  CheckOp(op::RestoreTokens(),
          {Random({2, 2, 3}, 4), Ints({2, 2}, {3, 1, 0, 4}),
           Ints({2, 3}, {0, 2, 4, 1, 2, 3}), Random({3}, 5)},
          {0, 3}, [](const std::vector<Doubles>& in) {
            Doubles y;
            for (int i = 0; i < 10; ++i) {
              for (int c = 0; c < 3; ++c) y.push_back(in[3][c]);
            }
            for (int i = 0; i < 4; ++i) {
              const int to = i / 2 * 5 + static_cast<int>(in[1][i]);
              for (int c = 0; c < 3; ++c) y[to * 3 + c] = in[0][i * 3 + c];
            }
            return std::vector<Doubles>{y};
          });
}

TEST(RestoreTokensTest, RestoresWhatWasKept) {
  const RunResult choice = Keep(40, 20, 0.75f);
  const Value x = Random({40, 20, 8}, 6);
  auto taken = RunOp(op::TakeTokens(), {x, choice.outputs[0]});
  ASSERT_TRUE(taken.ok());
  auto whole = RunOp(op::RestoreTokens(),
                     {taken->outputs[0], choice.outputs[0], choice.outputs[1],
                      Floats({8}, std::vector<float>(8, 9))});
  ASSERT_TRUE(whole.ok()) << whole.status();
  int same = 0, token = 0;
  for (size_t i = 0; i < x.floats.size(); ++i) {
    same += whole->outputs[0].floats[i] == x.floats[i];
    token += whole->outputs[0].floats[i] == 9;
  }
  EXPECT_EQ(same, 40 * 5 * 8);
  EXPECT_EQ(token, 40 * 15 * 8);
}

TEST(RestoreTokensTest, FaultsAreNamed) {
  EXPECT_EQ(InferError(op::RestoreTokens(), {{DType::kFloat, Shape({-1, 2, 3})},
                                             {DType::kInt32, Shape({-1, 4})},
                                             {DType::kInt32, Shape({-1, 3})}}),
            "kept must be INT32 [B, 2] for [B, 2, 3], not INT32 [B, 4]");
}

}  // namespace
}  // namespace tamer
