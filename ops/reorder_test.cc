#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/reorder.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// [outer, rows, columns] to [outer, columns, rows].
Reference Transposed(int outer, int rows, int columns) {
  return [=](const std::vector<Doubles>& in) {
    Doubles y(in[0].size());
    for (int o = 0; o < outer; ++o) {
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < columns; ++c) {
          y[(o * columns + c) * rows + r] = in[0][(o * rows + r) * columns + c];
        }
      }
    }
    return std::vector<Doubles>{y};
  };
}

TEST(ReorderTest, ThereAndBackOfAnyRank) {
  op::Reorder last, first;
  first.set_channels_last(false);
  CheckOp(last, {Random({3, 5, 4, 7}, 1)}, {0}, Transposed(3, 5, 28));
  CheckOp(first, {Random({3, 4, 7, 5}, 2)}, {0}, Transposed(3, 28, 5));
  CheckOp(last, {Random({1, 17, 6}, 3)}, {0}, Transposed(1, 17, 6));
  CheckOp(first, {Random({2, 2, 3, 4, 20}, 4)}, {0}, Transposed(2, 24, 20));
  // One channel or one place: the memory stays as it is.
  CheckOp(last, {Random({2, 1, 4, 3}, 5)}, {0}, Transposed(2, 1, 12));
  CheckOp(first, {Random({2, 1, 1, 9}, 6)}, {0}, Transposed(2, 1, 9));
}

TEST(ReorderTest, IntegersToo) {
  auto y = RunOp(op::Reorder(), {Ints({1, 2, 3}, {1, 2, 3, -4, 5, 1 << 30})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ(y->outputs[0].ints,
            (std::vector<int32_t>{1, -4, 2, 5, 3, 1 << 30}));
}

TEST(ReorderTest, ShapesOfBothOrders) {
  auto last = RunOp(op::Reorder(), {Random({2, 3, 4, 5}, 7)});
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->outputs[0].type.shape, Shape({2, 4, 5, 3}));
  EXPECT_EQ(InferError(op::Reorder(), {{DType::kFloat, Shape({-1, 4})}}),
            "the input must be an image, [B, C, H, W] or with one or three "
            "spatial dimensions, but is [B, 4]");
}

}  // namespace
}  // namespace tamer
