#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/broadcast.pb.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;
using Dims = std::vector<int64_t>;

int64_t Elements(const Dims& dims) {
  int64_t n = 1;
  for (int64_t dim : dims) n *= dim;
  return n;
}

// The element of b that meets a's element `at`, found digit by digit.
int64_t Meets(const Dims& a, const Dims& b, int64_t at) {
  int64_t found = 0, step = 1;
  for (size_t i = 0; i < a.size(); ++i) {
    const int64_t digit = at % a[a.size() - 1 - i];
    at /= a[a.size() - 1 - i];
    if (i >= b.size()) continue;
    const int64_t dim = b[b.size() - 1 - i];
    if (dim != 1) found += digit * step;
    step *= dim;
  }
  return found;
}

const std::vector<std::pair<Dims, Dims>>& Cases() {
  static const auto* cases =
      new std::vector<std::pair<Dims, Dims>>{{{3, 5}, {3, 5}},
                                             {{3, 5}, {5}},
                                             {{3, 5}, {}},
                                             {{3, 5}, {3, 1}},
                                             {{3, 5}, {1, 5}},
                                             {{3, 5}, {1, 1}},
                                             {{2, 3, 4}, {3, 1}},
                                             {{2, 3, 4}, {2, 1, 4}},
                                             {{1, 1}, {1}},
                                             {{2, 3, 4, 5}, {3, 1, 1}},
                                             {{2, 3, 4, 5}, {2, 1, 4, 1}},
                                             {{2, 1, 17}, {17}}};
  return *cases;
}

template <typename Function>
void CheckBinary(const OpParams& params, float low, Function function) {
  for (const auto& shapes : Cases()) {
    const Dims &a = shapes.first, &b = shapes.second;
    CheckOp(params, {Random(a, 1, -2, 2), Random(b, 2, low, 2)}, {0, 1},
            [&](const std::vector<Doubles>& in) {
              Doubles y = in[0];
              for (size_t i = 0; i < y.size(); ++i) {
                y[i] = function(y[i], in[1][Meets(a, b, i)]);
              }
              return std::vector<Doubles>{y};
            });
  }
}

TEST(BroadcastTest, ValuesAndGradients) {
  CheckBinary(op::Sub(), -2, [](double a, double b) { return a - b; });
  CheckBinary(op::Mul(), -2, [](double a, double b) { return a * b; });
  CheckBinary(op::Div(), 0.5, [](double a, double b) { return a / b; });
  CheckBinary(op::Max(), -2, [](double a, double b) { return std::max(a, b); });
  CheckBinary(op::Min(), -2, [](double a, double b) { return std::min(a, b); });
  CheckBinary(op::Add(), -2, [](double a, double b) { return a + b; });
}

TEST(BroadcastTest, AddOfSeveral) {
  CheckOp(op::Add(),
          {Random({4, 3}, 1), Random({3}, 2), Random({4, 3}, 3), Random({}, 4)},
          {0, 1, 2, 3}, [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (size_t i = 0; i < y.size(); ++i) {
              y[i] += in[1][i % 3] + in[2][i] + in[3][0];
            }
            return std::vector<Doubles>{y};
          });
}

TEST(BroadcastTest, EqualOnesShareTheGradient) {
  op::ExtremeGradient gradient;
  auto result = RunOp(gradient, {Floats({2}, {1, 4}), Floats({2}, {3, 3}),
                                 Floats({2}, {3, 2})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].floats, (std::vector<float>{0.5, 4}));
  EXPECT_EQ(result->outputs[1].floats, (std::vector<float>{0.5, 0}));
}

TEST(BroadcastTest, LargeTensorsOnAnyNumberOfThreads) {
  const Dims a = {40, 30, 101};
  for (const Dims& b : {Dims{101}, Dims{30, 1}, Dims{}, Dims{40, 1, 101}}) {
    CheckOp(op::SumLike(), {Random(a, 1), Random(b, 2)}, {},
            [&](const std::vector<Doubles>& in) {
              Doubles sums(Elements(b), 0);
              for (size_t i = 0; i < in[0].size(); ++i) {
                sums[Meets(a, b, i)] += in[0][i];
              }
              return std::vector<Doubles>{sums};
            });
    CheckOp(op::Div(), {Random(a, 1), Random(b, 2, 1, 2)}, {},
            [&](const std::vector<Doubles>& in) {
              Doubles y = in[0];
              for (size_t i = 0; i < y.size(); ++i) {
                y[i] /= in[1][Meets(a, b, i)];
              }
              return std::vector<Doubles>{y};
            });
  }
}

TEST(BroadcastTest, ErrorsShowBothShapes) {
  const auto type = [](Dims dims) {
    return TensorType{DType::kFloat, Shape(std::move(dims))};
  };
  EXPECT_EQ(InferError(op::Mul(), {type({-1, 4}), type({3})}),
            "input 1 must have input 0's shape, [B, 4], or one that is spread "
            "over it (its last dimensions, each as large or 1), but is [3]");
  EXPECT_NE(InferError(op::Div(), {type({4}), type({-1, 4})}), "");
  EXPECT_NE(InferError(op::Max(), {type({2, 4}), type({-1, 4})}), "");
  EXPECT_NE(InferError(op::Add(), {type({4}), type({-1, 4})}), "");
  EXPECT_EQ(InferError(op::Add(), {type({-1, 4}), type({4})}), "");
}

}  // namespace
}  // namespace tamer
