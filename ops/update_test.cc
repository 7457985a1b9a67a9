#include <cmath>
#include <functional>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr double kRate = 0.01, kMomentum = 0.9, kDecay = 0.1;
constexpr int64_t kSize = 40000;  // enough for two threads

// Twenty steps of a rule on its own op and on `reference`, which changes
// parameter and state in double. State begins at zero.
void CheckRule(const OpParams& rule, bool momentum,
               const std::vector<Value>& state,
               const std::function<void(int step, double g, double* p,
                                        double* state)>& reference) {
  std::vector<Value> inputs = {Random({kSize}, 1), Random({kSize}, 2),
                               Floats({}, {kRate})};
  if (momentum) inputs.push_back(Floats({}, {kMomentum}));
  const size_t first_state = inputs.size();
  inputs.insert(inputs.end(), state.begin(), state.end());
  std::vector<double> p(inputs[0].floats.begin(), inputs[0].floats.end());
  std::vector<std::array<double, 2>> s(kSize, {0, 0});
  for (int step = 1; step <= 20; ++step) {
    inputs[1] = Random({kSize}, 100 + step);
    for (int i = 0; i < kSize; ++i) {
      reference(step, inputs[1].floats[i], &p[i], s[i].data());
    }
    auto result = RunOp(rule, inputs);
    ASSERT_TRUE(result.ok()) << result.status();
    inputs = result->inputs;
  }
  for (int i = 0; i < kSize; ++i) {
    ASSERT_NEAR(inputs[0].floats[i], p[i], 2e-5 * std::max(1.0, fabs(p[i])));
    for (size_t k = 0; k + first_state < inputs.size() && k < 2; ++k) {
      if (inputs[first_state + k].type.dtype != DType::kFloat) continue;
      ASSERT_NEAR(inputs[first_state + k].floats[i], s[i][k], 1e-4);
    }
  }
}

Value Zeros() { return Floats({kSize}, std::vector<float>(kSize, 0)); }

TEST(UpdateTest, Sgd) {
  op::Sgd rule;
  rule.mutable_settings()->set_weight_decay(kDecay);
  rule.mutable_settings()->set_learning_rate_multiplier(2);
  CheckRule(rule, false, {}, [](int, double g, double* p, double*) {
    *p -= 2 * kRate * (g + kDecay * *p);
  });
}

TEST(UpdateTest, MomentumAndNesterov) {
  for (bool nesterov : {false, true}) {
    op::Momentum rule;
    rule.set_nesterov(nesterov);
    rule.mutable_settings()->set_weight_decay(kDecay);
    CheckRule(rule, true, {Zeros()}, [&](int, double g, double* p, double* v) {
      const double step = kRate * (g + kDecay * *p);
      v[0] = kMomentum * v[0] - step;
      *p += nesterov ? kMomentum * v[0] - step : v[0];
    });
  }
}

TEST(UpdateTest, AdamAndAdamW) {
  for (bool decoupled : {false, true}) {
    op::Adam rule;
    rule.set_decoupled_decay(decoupled);
    rule.mutable_settings()->set_weight_decay(kDecay);
    CheckRule(rule, false, {Zeros(), Zeros(), Ints({1}, {0})},
              [&](int step, double g, double* p, double* s) {
                if (!decoupled) g += kDecay * *p;
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = 0.999 * s[1] + 0.001 * g * g;
                const double m = s[0] / (1 - std::pow(0.9, step));
                const double v = s[1] / (1 - std::pow(0.999, step));
                *p -= kRate * (m / (std::sqrt(v) + 1e-8) +
                               (decoupled ? kDecay * *p : 0));
              });
  }
}

TEST(UpdateTest, RmsPropAndAdaGrad) {
  CheckRule(op::RmsProp(), false, {Zeros()},
            [](int, double g, double* p, double* s) {
              s[0] = 0.9 * s[0] + 0.1 * g * g;
              *p -= kRate * g / (std::sqrt(s[0]) + 1e-8);
            });
  CheckRule(op::AdaGrad(), false, {Zeros()},
            [](int, double g, double* p, double* s) {
              s[0] += g * g;
              *p -= kRate * g / (std::sqrt(s[0]) + 1e-8);
            });
}

// A unit's incoming weights, a column, are no longer than max_norm afterwards;
// shorter ones stay.
TEST(UpdateTest, MaxNormLimitsColumns) {
  const Value p = Random({300, 70}, 1), g = Random({300, 70}, 2);
  const Value rate = Floats({}, {0.01f});
  op::Sgd plain, limited;
  limited.mutable_settings()->set_max_norm(10);
  const auto a = RunOp(plain, {p, g, rate}), b = RunOp(limited, {p, g, rate});
  ASSERT_TRUE(b.ok()) << b.status();
  int cut = 0;
  for (int c = 0; c < 70; ++c) {
    double square = 0;
    for (int r = 0; r < 300; ++r) {
      square += std::pow(a->inputs[0].floats[r * 70 + c], 2);
    }
    const double factor = std::min(1.0, 10 / std::sqrt(square));
    cut += factor < 1;
    for (int r = 0; r < 300; ++r) {
      EXPECT_NEAR(b->inputs[0].floats[r * 70 + c],
                  a->inputs[0].floats[r * 70 + c] * factor, 1e-5);
    }
  }
  EXPECT_GT(cut, 5);
  EXPECT_LT(cut, 65);
  EXPECT_EQ(InferError(limited, {{DType::kFloat, Shape({3})},
                                 {DType::kFloat, Shape({3})},
                                 TensorType()}),
            "max_norm needs a matrix [in, units], not [3]");
}

TEST(UpdateTest, SenselessSettingsAreNamed) {
  const TensorType p{DType::kFloat, Shape({3})}, scalar;
  op::Sgd sgd;
  sgd.mutable_settings()->set_weight_decay(-1);
  EXPECT_EQ(InferError(sgd, {p, p, scalar}),
            "weight_decay is -1; it must be at least 0");
  EXPECT_EQ(InferError(sgd, {p, p}),
            "takes 3 inputs (parameter, gradient, learning_rate), not 2");
  EXPECT_EQ(
      InferError(sgd, {p, {DType::kFloat, Shape({4})}, scalar}),
      "inputs must be of one shape, but input 0 is [3] and input 1 is [4]");
  op::Adam adam;
  adam.set_beta2(1);
  EXPECT_EQ(InferError(adam, {p, p, scalar}),
            "beta2 is 1; it must be in [0, 1)");
  op::RmsProp rms;
  rms.set_epsilon(0);
  EXPECT_EQ(InferError(rms, {p, p, scalar}),
            "epsilon is 0; it must be above 0");
}

TEST(AssignTest, CopiesIntoTheVariable) {
  auto result = RunOp(op::Assign(), {Floats({2}, {1, 2}), Floats({2}, {3, 4})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->inputs[0].floats, (std::vector<float>{3, 4}));
}

}  // namespace
}  // namespace tamer
