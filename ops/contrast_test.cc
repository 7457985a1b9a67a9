#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/contrast.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

Doubles Normalized(const Doubles& x, int width) {
  Doubles y = x;
  for (size_t r = 0; r < x.size(); r += width) {
    double length = 0;
    for (int i = 0; i < width; ++i) length += x[r + i] * x[r + i];
    length = std::sqrt(length);
    for (int i = 0; i < width; ++i) y[r + i] = x[r + i] / length;
  }
  return y;
}

TEST(L2NormalizeTest, ValueAndGradient) {
  for (int width : {1, 3, 33}) {
    CheckOp(op::L2Normalize(), {Random({2, 4, width}, 1, 0.2f, 2)}, {0},
            [width](const std::vector<Doubles>& in) {
              return std::vector<Doubles>{Normalized(in[0], width)};
            });
  }
}

TEST(L2NormalizeTest, ZeroStaysZero) {
  auto result = RunOp(op::L2Normalize(), {Floats({1, 2}, {0, 0})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].floats, std::vector<float>(2, 0));
}

// Of all vectors, one after the other in `in`.
Doubles NtXent(const std::vector<Doubles>& in, int width, double temperature) {
  Doubles x = in[0];
  if (in.size() > 1) x.insert(x.end(), in[1].begin(), in[1].end());
  const Doubles z = Normalized(x, width);
  const int n = static_cast<int>(z.size()) / width;
  double sum = 0;
  for (int r = 0; r < n; ++r) {
    double total = 0, own = 0;
    for (int c = 0; c < n; ++c) {
      if (c == r) continue;
      double product = 0;
      for (int i = 0; i < width; ++i) {
        product += z[r * width + i] * z[c * width + i];
      }
      total += std::exp(product / temperature);
      if (c == (r + n / 2) % n) own = product / temperature;
    }
    sum += std::log(total) - own;
  }
  return {sum / n};
}

TEST(InfoNceTest, ValueAndGradient) {
  for (float temperature : {0.1f, 0.5f}) {
    for (int pairs : {1, 4, 9}) {
      op::InfoNce loss;
      loss.set_temperature(temperature);
      const Reference reference = [=](const std::vector<Doubles>& in) {
        return std::vector<Doubles>{NtXent(in, 7, temperature)};
      };
      CheckOp(loss, {Random({2 * pairs, 7}, 1)}, {0}, reference);
      CheckOp(loss, {Random({pairs, 7}, 1), Random({pairs, 7}, 2)}, {0, 1},
              reference);
    }
  }
}

TEST(InfoNceTest, TellsHowManyPartnersAreTheNearest) {
  const Value x = Floats({4, 2}, {1, 0, 0, 1, 1, 0.1, 1, 0.3});
  auto result = RunOp(op::InfoNce(), {x});
  ASSERT_TRUE(result.ok());
  // Vectors 0, 1 and 2 are nearest to theirs; 3's is 1, but 2 is nearer.
  EXPECT_FLOAT_EQ(result->outputs[2].floats[0], 0.75f);
}

TEST(InfoNceTest, ErrorsShowWhatWasSeen) {
  op::InfoNce loss;
  const TensorType x = {DType::kFloat, Shape({-1, 4})};
  EXPECT_EQ(InferError(loss, {x}),
            "x must be an even number of vectors, as [2B, d], but is [B, 4]");
  EXPECT_EQ(InferError(loss, {x, x}), "");
  EXPECT_EQ(InferError(loss, {x, x, x}),
            "takes x [2B, d], or a [B, d] and b [B, d], not 3 inputs");
  loss.set_temperature(0);
  EXPECT_EQ(InferError(loss, {x, x}), "temperature is 0; it must be above 0");
}

}  // namespace
}  // namespace tamer
