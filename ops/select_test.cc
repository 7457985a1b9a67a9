#include <algorithm>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/select.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(WhereTest, ValuesAndGradients) {
  const Value a = Random({3, 4}, 1), b = Random({3, 4}, 2);
  const auto choose = [](int step, int n) {
    return [step, n](const std::vector<Doubles>& in) {
      Doubles y;
      for (int i = 0; i < 12; ++i) {
        y.push_back(in[0][i / step % n] != 0 ? in[1][i] : in[2][i]);
      }
      return std::vector<Doubles>{y};
    };
  };
  CheckOp(op::Where(),
          {Ints({3, 4}, {1, 0, 0, -1, 0, 1, 2, 0, 1, 1, 0, 0}), a, b}, {1, 2},
          choose(1, 12));
  CheckOp(op::Where(), {Floats({4}, {0.5, 0, -1, -0.0f}), a, b}, {1, 2},
          choose(1, 4));
  CheckOp(op::Where(), {Ints({3, 1}, {1, 0, 1}), a, b}, {1, 2}, choose(4, 3));
}

TEST(WhereTest, ErrorsShowWhatWasSeen) {
  const TensorType a = {DType::kFloat, Shape({-1, 4})};
  EXPECT_EQ(InferError(op::Where(), {{DType::kInt32, Shape({3})}, a, a}),
            "the condition, input 0, must have the shape [B, 4] or one that is "
            "spread over it, but is [3]");
  EXPECT_EQ(InferError(op::Where(), {{DType::kUint8, Shape({-1, 4})}, a, a}),
            "the condition must be FLOAT or INT32, but is UINT8 [B, 4]");
}

TEST(ReduceMaxTest, ValuesAndGradients) {
  const std::vector<int64_t> shape = {2, 5, 17};
  for (int axis : {1, 2}) {
    const int64_t outer = axis == 1 ? 2 : 10, size = shape[axis];
    const int64_t inner = axis == 1 ? 17 : 1;
    const Reference reference = [=](const std::vector<Doubles>& in) {
      Doubles y;
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; ++i) {
          double most = -1e9;
          for (int64_t s = 0; s < size; ++s) {
            most = std::max(most, in[0][(o * size + s) * inner + i]);
          }
          y.push_back(most);
        }
      }
      return std::vector<Doubles>{y};
    };
    op::ReduceMax reduce;
    reduce.set_axis(axis - 3);
    CheckOp(reduce, {Random(shape, 3)}, {0}, reference);
    // The index points at the largest.
    op::ArgMax argmax;
    argmax.set_axis(axis);
    const Value x = Random(shape, 3);
    auto indices = RunOp(argmax, {x});
    auto both = RunOp(reduce, {x});
    ASSERT_TRUE(indices.ok() && both.ok());
    EXPECT_EQ(indices->outputs[0].ints, both->outputs[1].ints);
    for (int64_t k = 0; k < outer * inner; ++k) {
      const int64_t at =
          (k / inner * size + indices->outputs[0].ints[k]) * inner + k % inner;
      EXPECT_EQ(x.floats[at], both->outputs[0].floats[k]);
    }
  }
}

TEST(ReduceMaxTest, OfEqualOnesTheFirst) {
  auto rows = RunOp(op::ArgMax(), {Floats({2, 3}, {1, 2, 2, 3, 3, 3})});
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->outputs[0].ints, (std::vector<int32_t>{1, 0}));
  op::ArgMax columns;
  columns.set_axis(0);
  auto result = RunOp(columns, {Floats({2, 2}, {1, 2, 1, 3})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].ints, (std::vector<int32_t>{0, 1}));
}

TEST(ReduceMaxTest, ErrorsShowWhatWasSeen) {
  op::ReduceMax reduce;
  reduce.set_axis(0);
  EXPECT_EQ(InferError(reduce, {{DType::kFloat, Shape({-1, 4})}}),
            "axis 0 of [B, 4] is the batch, whose samples are apart");
}

}  // namespace
}  // namespace tamer
