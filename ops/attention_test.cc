#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/attention.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

struct Sizes {
  int batch, queries, keys, width;
};

// One of q, k and v as [B, T, width].
struct Sequence {
  const Doubles* data;
  int stride, column;  // of a row; where this one begins in it

  double At(int row, int c) const { return (*data)[row * stride + column + c]; }
};

// Head h's row, turned by its position.
Doubles Row(const op::Attention& params, const Sequence& from, int row,
            int position, int head, int width) {
  Doubles x(width), y(width);
  for (int i = 0; i < width; ++i) x[i] = from.At(row, head * width + i);
  if (!params.rotary()) return x;
  for (int i = 0; i < width / 2; ++i) {
    const double angle =
        position * std::pow(params.rotary_base(), -2.0 * i / width);
    const double c = std::cos(angle), s = std::sin(angle);
    y[i] = x[i] * c - x[i + width / 2] * s;
    y[i + width / 2] = x[i + width / 2] * c + x[i] * s;
  }
  return y;
}

double Dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The whole matrix of scores, in double.
std::vector<Doubles> Naive(const op::Attention& params, const Sizes& sizes,
                           const std::vector<Doubles>& in) {
  const bool packed = in.size() < 3;
  const bool lengths = in.size() % 2 == 0;
  const int width = sizes.width / params.heads();
  const int offset = params.causal() ? sizes.keys - sizes.queries : 0;
  const double scale =
      params.scale() > 0 ? params.scale() : 1 / std::sqrt(width);
  Sequence s[3];
  for (int i = 0; i < 3; ++i) {
    s[i] = packed ? Sequence{&in[0], 3 * sizes.width, i * sizes.width}
                  : Sequence{&in[i], sizes.width, 0};
  }
  Doubles y(sizes.batch * sizes.queries * sizes.width);
  Doubles sums(sizes.batch * params.heads() * sizes.queries);
  for (int b = 0; b < sizes.batch; ++b) {
    for (int h = 0; h < params.heads(); ++h) {
      for (int i = 0; i < sizes.queries; ++i) {
        int seen = lengths ? static_cast<int>(in.back()[b]) : sizes.keys;
        if (params.causal()) seen = std::min(seen, offset + i + 1);
        const Doubles q =
            Row(params, s[0], b * sizes.queries + i, offset + i, h, width);
        Doubles p;
        double total = 0;
        for (int j = 0; j < seen; ++j) {
          p.push_back(std::exp(
              scale *
              Dot(q, Row(params, s[1], b * sizes.keys + j, j, h, width))));
          total += p.back();
        }
        for (int j = 0; j < seen; ++j) {
          for (int c = 0; c < width; ++c) {
            y[(b * sizes.queries + i) * sizes.width + h * width + c] +=
                p[j] / total * s[2].At(b * sizes.keys + j, h * width + c);
          }
        }
        sums[(b * params.heads() + h) * sizes.queries + i] =
            seen > 0 ? std::log(total) : 0;
      }
    }
  }
  return {y, sums};
}

Value Lengths(std::vector<int32_t> lengths) {
  const int64_t n = static_cast<int64_t>(lengths.size());
  return Ints({n}, std::move(lengths));
}

void CheckPacked(const op::Attention& params, const Sizes& sizes,
                 const std::vector<int32_t>& lengths = {}) {
  std::vector<Value> inputs = {
      Random({sizes.batch, sizes.keys, 3 * sizes.width}, 3, -2, 2)};
  if (!lengths.empty()) inputs.push_back(Lengths(lengths));
  CheckOp(params, inputs, {0}, [&](const std::vector<Doubles>& in) {
    return Naive(params, sizes, in);
  });
}

// Gradients only if `differentiate`: naive ones take long.
void CheckApart(const op::Attention& params, const Sizes& sizes,
                bool differentiate, const std::vector<int32_t>& lengths = {}) {
  std::vector<Value> inputs = {
      Random({sizes.batch, sizes.queries, sizes.width}, 3, -2, 2),
      Random({sizes.batch, sizes.keys, sizes.width}, 4, -2, 2),
      Random({sizes.batch, sizes.keys, sizes.width}, 5, -2, 2)};
  if (!lengths.empty()) inputs.push_back(Lengths(lengths));
  const std::vector<int> at =
      differentiate ? std::vector<int>{0, 1, 2} : std::vector<int>();
  CheckOp(params, inputs, at, [&](const std::vector<Doubles>& in) {
    return Naive(params, sizes, in);
  });
}

op::Attention Params(int heads, bool causal = false, bool rotary = false) {
  op::Attention params;
  params.set_heads(heads);
  params.set_causal(causal);
  params.set_rotary(rotary);
  return params;
}

TEST(AttentionTest, ValuesAndGradients) {
  CheckPacked(Params(1), {1, 1, 1, 1});
  CheckPacked(Params(2), {2, 7, 7, 6});
  CheckPacked(Params(1), {1, 13, 13, 16});
  CheckPacked(Params(2), {1, 18, 18, 34});
}

TEST(AttentionTest, Causal) {
  CheckPacked(Params(1, true), {1, 1, 1, 2});
  CheckPacked(Params(2, true), {2, 19, 19, 6});
}

TEST(AttentionTest, AcrossLengths) {
  CheckApart(Params(2), {2, 5, 11, 6}, true);
  CheckApart(Params(1), {1, 11, 5, 3}, true);
  CheckApart(Params(2, true), {2, 4, 9, 4}, true);
}

TEST(AttentionTest, Rotary) {
  CheckPacked(Params(2, true, true), {2, 9, 9, 8});
  CheckApart(Params(1, true, true), {1, 3, 8, 6}, true);
}

TEST(AttentionTest, Lengths) {
  CheckPacked(Params(2), {3, 8, 8, 4}, {8, 3, 0});
  CheckPacked(Params(1, true), {2, 8, 8, 3}, {5, 1});
  CheckApart(Params(1), {2, 4, 20, 3}, true, {17, 2});
}

TEST(AttentionTest, AScaleOfOnesOwn) {
  op::Attention params = Params(2);
  params.set_scale(0.25);
  CheckPacked(params, {1, 6, 6, 8});
}

// More than a block of queries and of keys, and a head wider than a tile.
TEST(AttentionTest, SeveralBlocks) {
  CheckApart(Params(2), {1, 101, 403, 40}, false);
  CheckApart(Params(1, true), {1, 250, 250, 70}, false);
  CheckApart(Params(1, true, true), {2, 100, 389, 66}, false, {389, 200});
}

// The gradient over several blocks: that of a sample is the same whether it
// stands alone or its later keys don't count, and against differences at some
// of the inputs.
TEST(AttentionTest, GradientOverSeveralBlocks) {
  const op::Attention params = Params(1, true, true);
  const int t = 230, width = 4;
  const Sizes sizes = {1, t, t, width};
  const Value x = Random({1, t, 3 * width}, 3, -1, 1);
  const auto forward = RunOp(params, {x});
  ASSERT_TRUE(forward.ok()) << forward.status();
  op::AttentionGradient gradient;
  *gradient.mutable_attention() = params;
  const Value dy = Random({1, t, width}, 4);
  const auto back =
      RunOp(gradient, {dy, forward->outputs[0], forward->outputs[1], x});
  ASSERT_TRUE(back.ok()) << back.status();
  std::vector<Doubles> at = {{x.floats.begin(), x.floats.end()}};
  const auto combined = [&] {
    const Doubles y = Naive(params, sizes, at)[0];
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy.floats[i];
    return sum;
  };
  for (size_t i = 1; i < at[0].size(); i += 97) {
    const double before = at[0][i];
    at[0][i] = before + 1e-5;
    const double above = combined();
    at[0][i] = before - 1e-5;
    const double below = combined();
    at[0][i] = before;
    EXPECT_NEAR((above - below) / 2e-5, back->outputs[0].floats[i], 2e-4) << i;
  }
}

TEST(AttentionTest, LargeScoresDoNotOverflow) {
  auto result = RunOp(Params(1), {Floats({1, 2, 3}, {100, 100, 1,  //
                                                     100, -100, 2})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outputs[0].floats, (std::vector<float>{1, 1}));
}

TEST(AttentionTest, MistakesAreNamed) {
  const TensorType packed = {DType::kFloat, Shape({-1, 5, 12})};
  const TensorType q = {DType::kFloat, Shape({-1, 5, 4})};
  const TensorType k = {DType::kFloat, Shape({-1, 7, 4})};
  EXPECT_EQ(InferError(Params(3), {packed}),
            "heads is 3; it must divide the width 4");
  EXPECT_EQ(InferError(Params(0), {packed}),
            "heads is 0; it must divide the width 4");
  EXPECT_EQ(InferError(Params(4, false, true), {packed}),
            "rotary positions need heads of even width, but the width 4 over 4 "
            "heads is 1");
  EXPECT_EQ(InferError(Params(1), {q, q}),
            "takes q, k and v in one input [B, T, 3 * width] or in three, and "
            "then maybe lengths, INT32 [B]; not 2 inputs");
  EXPECT_EQ(InferError(Params(1), {q}),
            "q, k and v in one must be [B, T, 3 * width], but are [B, 5, 4]");
  EXPECT_EQ(InferError(Params(1), {q, k, q}),
            "v must be [B, Tk, width], for this q [B, 7, 4], but is [B, 5, 4]");
  EXPECT_EQ(InferError(Params(1, true), {k, q, q}),
            "causal attention of 7 queries to 5 keys: there must be a key for "
            "every query");
  EXPECT_EQ(InferError(Params(1), {{DType::kFloat, Shape({-1, 12})}}),
            "q, k and v in one must be [B, T, width], but is [B, 12]");
  EXPECT_EQ(InferError(Params(1), {packed, {DType::kInt32, Shape({-1, 5})}}),
            "lengths must be INT32 [B], but are INT32 [B, 5]");
  op::Attention scaled;
  scaled.set_scale(-1);
  EXPECT_EQ(InferError(scaled, {packed}),
            "scale is -1; it must be finite and not negative");
}

}  // namespace
}  // namespace tamer
