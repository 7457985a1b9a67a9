#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TensorType Type(std::vector<int64_t> dims) {
  return {DType::kFloat, Shape(std::move(dims))};
}

TEST(ConcatTest, AlongEachAxis) {
  op::Concat concat;
  concat.set_axis(0);
  CheckOp(concat, {Random({2, 3}, 1), Random({1, 3}, 2)}, {0, 1},
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            y.insert(y.end(), in[1].begin(), in[1].end());
            return std::vector<Doubles>{y};
          });
  concat.set_axis(-1);
  CheckOp(
      concat, {Random({2, 3}, 1), Random({2, 1}, 2)}, {0, 1},
      [](const std::vector<Doubles>& in) {
        return std::vector<Doubles>{{in[0][0], in[0][1], in[0][2], in[1][0],
                                     in[0][3], in[0][4], in[0][5], in[1][1]}};
      });
}

TEST(ConcatTest, BatchesAddUp) {
  op::Concat concat;
  concat.set_axis(0);
  EXPECT_EQ(InferError(concat, {Type({-1, 3}), Type({-2, 3})}), "");
  EXPECT_EQ(
      InferError(concat, {Type({-1, 3}), Type({4, 3})}),
      "along axis 0 one of [B, 3] and [4, 3] is batched and the other not");
  EXPECT_EQ(
      InferError(concat, {Type({-1, 3}), Type({-1, 4})}),
      "inputs may differ along axis 0 only, but are FLOAT [B, 3] and FLOAT "
      "[B, 4]");
  concat.set_axis(2);
  EXPECT_EQ(InferError(concat, {Type({-1, 3})}),
            "axis 2 is not a dimension of a tensor of rank 2");
}

TEST(SplitTest, PartsAndTheirGradient) {
  op::Split split;
  split.add_size(1);
  split.add_size(3);
  // The gradient flows into the first part; the other's is zero.
  CheckOp(split, {Random({2, 4}, 1)}, {0}, [](const std::vector<Doubles>& in) {
    const Doubles& x = in[0];
    return std::vector<Doubles>{{x[0], x[4]},
                                {x[1], x[2], x[3], x[5], x[6], x[7]}};
  });
  EXPECT_EQ(InferError(split, {Type({-1, 5})}),
            "the sizes add up to 4, but axis 1 of [B, 5] is 5");
  EXPECT_EQ(InferError(split, {Type({-1, 2})}),
            "size 3 is not a part of [B, 2] along axis 1");
  EXPECT_EQ(InferError(op::Split(), {Type({-1, 2})}), "size names no part");
}

TEST(ReshapeTest, KeepsElements) {
  const auto same = [](const std::vector<Doubles>& in) {
    return std::vector<Doubles>{in[0]};
  };
  CheckOp(op::Flatten(), {Random({2, 3, 4}, 1)}, {0}, same);
  CheckOp(op::ReshapeLike(), {Random({2, 6}, 1), Random({3, 4}, 2)}, {0}, same);
  op::Reshape reshape;
  reshape.add_shape(2);
  reshape.add_shape(-1);
  // With a batch of its own the first dimension would stay; bound shapes have
  // none.
  CheckOp(reshape, {Random({3, 4}, 1)}, {0}, same);
  EXPECT_EQ(InferError(reshape, {Type({-1, 12})}), "");
  EXPECT_EQ(InferError(reshape, {Type({-1, 11})}),
            "cannot make [B, 2, B] of [B, 11]: the numbers of elements differ");
  reshape.set_shape(0, 0);
  EXPECT_EQ(
      InferError(reshape, {Type({-1, 12})}),
      "shape has the dimension 0; it may hold sizes of 1 and more, and one "
      "-1");
}

}  // namespace
}  // namespace tamer
