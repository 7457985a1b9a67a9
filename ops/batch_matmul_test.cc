#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/batch_matmul.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

void CheckProduct(std::vector<int64_t> leading, int m, int k, int n) {
  int64_t batch = 1;
  for (int64_t dim : leading) batch *= dim;
  for (int flags = 0; flags < 4; ++flags) {
    const bool ta = flags & 1, tb = flags & 2;
    op::BatchMatMul product;
    product.set_transpose_a(ta);
    product.set_transpose_b(tb);
    product.set_scale(0.5);
    std::vector<int64_t> a = leading, b = leading;
    for (int64_t dim : {ta ? k : m, ta ? m : k}) a.push_back(dim);
    for (int64_t dim : {tb ? n : k, tb ? k : n}) b.push_back(dim);
    CheckOp(product, {Random(a, 1), Random(b, 2)}, {0, 1},
            [=](const std::vector<Doubles>& in) {
              Doubles c(batch * m * n, 0);
              for (int64_t at = 0; at < batch * m * n; ++at) {
                const int64_t s = at / (m * n), i = at / n % m, j = at % n;
                for (int l = 0; l < k; ++l) {
                  c[at] += 0.5 *
                           in[0][s * m * k + (ta ? l * m + i : i * k + l)] *
                           in[1][s * k * n + (tb ? j * k + l : l * n + j)];
                }
              }
              return std::vector<Doubles>{c};
            });
  }
}

TEST(BatchMatMulTest, ValuesAndGradients) {
  CheckProduct({1}, 1, 1, 1);
  CheckProduct({3}, 4, 5, 6);
  CheckProduct({2, 3}, 5, 7, 17);
  CheckProduct({2}, 1, 9, 3);
}

TEST(BatchMatMulTest, ErrorsShowBothShapes) {
  const TensorType a = {DType::kFloat, Shape({-1, 4, 5})};
  EXPECT_EQ(InferError(op::BatchMatMul(), {a, a}),
            "a must be [..., m, k] and b [..., k, n] with the same leading "
            "dimensions, but they are [B, 4, 5] and [B, 4, 5]");
  EXPECT_NE(InferError(op::BatchMatMul(), {a, {DType::kFloat, Shape({5, 4})}}),
            "");
  op::BatchMatMul transposed;
  transposed.set_transpose_b(true);
  EXPECT_EQ(InferError(transposed, {a, a}), "");
}

}  // namespace
}  // namespace tamer
