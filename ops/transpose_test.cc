#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;
using Dims = std::vector<int64_t>;

Doubles Transposed(const Doubles& x, const Dims& shape,
                   const std::vector<int>& perm) {
  const size_t rank = shape.size();
  Doubles y(x.size());
  for (size_t at = 0; at < x.size(); ++at) {
    // The digits of `at` in the result's dimensions, then in the input's.
    Dims digits(rank);
    size_t rest = at;
    for (size_t i = rank; i-- > 0;) {
      digits[perm[i]] = rest % shape[perm[i]];
      rest /= shape[perm[i]];
    }
    size_t from = 0;
    for (size_t i = 0; i < rank; ++i) from = from * shape[i] + digits[i];
    y[at] = x[from];
  }
  return y;
}

op::Transpose Permuted(const std::vector<int>& perm) {
  op::Transpose transpose;
  for (int axis : perm) transpose.add_perm(axis);
  return transpose;
}

void CheckTranspose(const Dims& shape, const std::vector<int>& perm,
                    bool gradient = true) {
  CheckOp(Permuted(perm), {Random(shape, 1)},
          gradient ? std::vector<int>{0} : std::vector<int>{},
          [&](const std::vector<Doubles>& in) {
            return std::vector<Doubles>{Transposed(in[0], shape, perm)};
          });
}

TEST(TransposeTest, ValuesAndGradients) {
  CheckTranspose({2, 3}, {0, 1});
  CheckTranspose({1, 1, 1}, {0, 2, 1});
  CheckTranspose({5, 3}, {1, 0});
  CheckTranspose({2, 3, 4}, {0, 2, 1});
  CheckTranspose({2, 1, 7}, {0, 2, 1});
  CheckTranspose({2, 3, 4, 5}, {0, 2, 1, 3});
  CheckTranspose({2, 3, 4, 5}, {0, 3, 1, 2});
  CheckTranspose({2, 3, 4, 5}, {0, 3, 2, 1});
  CheckTranspose({2, 3, 4, 5}, {3, 1, 0, 2});
  CheckTranspose({2, 2, 3, 2, 3}, {0, 4, 2, 1, 3});
}

TEST(TransposeTest, LargeOnesOnAnyNumberOfThreads) {
  CheckTranspose({3, 100, 133}, {0, 2, 1}, false);
  CheckTranspose({8, 64, 4, 32}, {0, 2, 1, 3}, false);
  CheckTranspose({4, 32, 32, 48}, {0, 3, 1, 2}, false);
}

TEST(TransposeTest, TokensToo) {
  auto result = RunOp(Permuted({1, 0}), {Ints({2, 3}, {1, 2, 3, 4, 5, 6})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].ints, (std::vector<int32_t>{1, 4, 2, 5, 3, 6}));
}

TEST(TransposeTest, ErrorsShowWhatWasSeen) {
  const std::vector<TensorType> x = {{DType::kFloat, Shape({-1, 4, 5})}};
  EXPECT_EQ(InferError(Permuted({1, 0, 2}), x),
            "perm moves the batch of [B, 4, 5] to dimension 1; it must stay "
            "the first");
  EXPECT_EQ(InferError(Permuted({0, 1}), x),
            "perm names 2 of the 3 dimensions of [B, 4, 5]; it must name all");
  EXPECT_EQ(InferError(Permuted({0, 1, -2}), x), "perm names axis -2 twice");
  EXPECT_EQ(InferError(Permuted({0, -1, 1}), x), "");
}

}  // namespace
}  // namespace tamer
