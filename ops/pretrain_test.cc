#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/pretrain.pb.h"

namespace tamer {
namespace {

double ShareOf(const std::vector<float>& values, float wanted) {
  double count = 0;
  for (float value : values) count += value == wanted;
  return count / values.size();
}

TEST(CorruptTest, EachKindHitsItsShare) {
  const Value x = Floats({100, 200}, std::vector<float>(20000, 0.5f));
  op::Corrupt corrupt;
  corrupt.set_amount(0.3f);
  auto result = RunOp(corrupt, {x});
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(ShareOf(result->outputs[0].floats, 0), 0.3, 0.02);
  EXPECT_NEAR(ShareOf(result->outputs[0].floats, 0.5f), 0.7, 0.02);
  EXPECT_EQ(ShareOf(result->outputs[0].floats, 0),
            ShareOf(result->outputs[1].floats, 1));
  corrupt.set_kind(op::Corrupt::SALT_PEPPER);
  result = RunOp(corrupt, {x});
  EXPECT_NEAR(ShareOf(result->outputs[0].floats, 0), 0.15, 0.02);
  EXPECT_NEAR(ShareOf(result->outputs[0].floats, 1), 0.15, 0.02);
  corrupt.set_kind(op::Corrupt::GAUSSIAN);
  result = RunOp(corrupt, {x});
  double squares = 0;
  for (float y : result->outputs[0].floats) squares += (y - 0.5) * (y - 0.5);
  EXPECT_NEAR(std::sqrt(squares / 20000), 0.3, 0.01);
  corrupt.set_kind(op::Corrupt::FLIP_ONE);
  const Value bits = Floats({100, 20}, std::vector<float>(2000, 1));
  result = RunOp(corrupt, {bits});
  for (int r = 0; r < 100; ++r) {
    double sum = 0;
    for (int i = 0; i < 20; ++i) {
      sum += result->outputs[0].floats[r * 20 + i];
      EXPECT_EQ(result->outputs[0].floats[r * 20 + i],
                1 - result->outputs[1].floats[r * 20 + i]);
    }
    EXPECT_EQ(sum, 19);
  }
}

TEST(CorruptTest, SenselessAmountsAreNamed) {
  op::Corrupt corrupt;
  corrupt.set_amount(1.5f);
  const TensorType x{DType::kFloat, Shape({-1, 2})};
  EXPECT_EQ(InferError(corrupt, {x}), "amount is 1.5; it must be in [0, 1]");
  corrupt.set_kind(op::Corrupt::GAUSSIAN);
  EXPECT_EQ(InferError(corrupt, {x}), "");
  corrupt.set_amount(NAN);
  EXPECT_EQ(InferError(corrupt, {x}), "amount is nan; it must be at least 0");
}

TEST(RotateTest, TurnsByWhatItSays) {
  std::vector<float> images;
  for (int n = 0; n < 40; ++n) {
    for (int i = 0; i < 9; ++i) images.push_back(static_cast<float>(i));
  }
  const auto result = RunOp(op::Rotate(), {Floats({40, 3, 3}, images)});
  ASSERT_TRUE(result.ok()) << result.status();
  int seen[4] = {};
  for (int n = 0; n < 40; ++n) {
    std::vector<float> image(images.begin(), images.begin() + 9);
    const int turns = result->outputs[1].ints[n];
    ++seen[turns];
    for (int k = 0; k < turns; ++k) {
      std::vector<float> turned(9);
      for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 3; ++c) turned[r * 3 + c] = image[c * 3 + 2 - r];
      }
      image = turned;
    }
    EXPECT_EQ(std::vector<float>(result->outputs[0].floats.begin() + n * 9,
                                 result->outputs[0].floats.begin() + n * 9 + 9),
              image);
  }
  for (int count : seen) EXPECT_GT(count, 2);
  EXPECT_EQ(InferError(op::Rotate(), {{DType::kFloat, Shape({-1, 2, 3})}}),
            "x must be square images, [B, s, s] or [B, s * s], not [B, 2, 3]");
}

TEST(SparsityTest, IsTheKullbackLeiblerDivergenceOfTheAverage) {
  op::Sparsity sparsity;
  sparsity.set_target(0.1f);
  sparsity.set_cost(2);
  sparsity.set_decay(0);  // so that the average is the minibatch's mean
  const Value h = Random({8, 3}, 4, 0.1f, 0.9f);
  const auto penalty = [](const std::vector<double>& x) {
    double sum = 0;
    for (int j = 0; j < 3; ++j) {
      double q = 0;
      for (int i = 0; i < 8; ++i) q += x[i * 3 + j] / 8;
      sum += 2 * (0.1 * std::log(0.1 / q) + 0.9 * std::log(0.9 / (1 - q)));
    }
    return sum;
  };
  const auto result = RunOp(sparsity, {h, Floats({3}, {0, 0, 0})}, 0, 8);
  ASSERT_TRUE(result.ok());
  const std::vector<double> x(h.floats.begin(), h.floats.end());
  EXPECT_NEAR(result->outputs[0].floats[0], penalty(x), 1e-5);
  for (size_t i = 0; i < x.size(); ++i) {
    auto up = x, down = x;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    EXPECT_NEAR(result->outputs[1].floats[i],
                (penalty(up) - penalty(down)) / 2e-5, 1e-4);
  }
  // The average decays, and at logits the gradient is cost * (q - p) / B.
  sparsity.set_decay(0.9f);
  sparsity.set_at_logits(true);
  const auto slow = RunOp(sparsity, {h, Floats({3}, {0.5f, 0.5f, 0.5f})}, 0, 8);
  for (int j = 0; j < 3; ++j) {
    double mean = 0;
    for (int i = 0; i < 8; ++i) mean += x[i * 3 + j] / 8;
    const double q = 0.9 * 0.5 + 0.1 * mean;
    EXPECT_NEAR(slow->inputs[1].floats[j], q, 1e-6);
    EXPECT_NEAR(slow->outputs[1].floats[j], 2 * (q - 0.1) / 8, 1e-6);
  }
}

TEST(FreeEnergyTest, IsTheFormula) {
  for (bool gaussian : {false, true}) {
    op::FreeEnergy energy;
    energy.set_gaussian(gaussian);
    CheckOp(energy,
            {Random({4, 5}, 1), Random({4, 3}, 2, -40, 40), Random({5}, 3)}, {},
            [&](const std::vector<std::vector<double>>& in) {
              std::vector<double> f(4, 0);
              for (int r = 0; r < 4; ++r) {
                for (int i = 0; i < 5; ++i) {
                  const double v = in[0][r * 5 + i], c = in[2][i];
                  f[r] += gaussian ? 0.5 * (v - c) * (v - c) : -v * c;
                }
                for (int j = 0; j < 3; ++j) {
                  f[r] -= std::log1p(std::exp(in[1][r * 3 + j]));
                }
              }
              return std::vector<std::vector<double>>{f};
            });
  }
}

TEST(SampleTest, RectifiedIsNoiseOfTheLogisticsVarianceCutAtZero) {
  op::Sample sample;
  sample.set_distribution(op::Sample::RECTIFIED);
  const auto result =
      RunOp(sample, {Floats({100000}, std::vector<float>(100000, 6))});
  ASSERT_TRUE(result.ok());
  double mean = 0, squares = 0;
  for (float y : result->outputs[0].floats) {
    mean += y / 1e5;
    squares += (y - 6) * (y - 6) / 1e5;
  }
  EXPECT_NEAR(mean, 6, 0.02);
  EXPECT_NEAR(squares, 1 / (1 + std::exp(-6.0)), 0.02);
  const auto low =
      RunOp(sample, {Floats({1000}, std::vector<float>(1000, -20))});
  EXPECT_EQ(ShareOf(low->outputs[0].floats, 0), 1);
}

}  // namespace
}  // namespace tamer
