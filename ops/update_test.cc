#include <omp.h>

#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
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

// The gradient that `settings` describe, for a parameter of these dimensions,
// from factors as the rule's inputs 1, 2, … hold them.
Value GradientOf(const op::UpdateSettings& settings,
                 const std::vector<Value>& factors, int64_t rows,
                 int64_t columns, int64_t batch) {
  std::vector<double> sum(rows * columns, 0);
  size_t next = 0;
  for (const op::GradientProduct& product : settings.product()) {
    const double factor =
        product.factor() / (product.divide_by_batch() ? double(batch) : 1.0);
    const Value* a = product.row_sum() ? nullptr : &factors[next++];
    const Value& b = factors[next++];
    const int64_t depth = b.type.shape.dim(0);
    for (int64_t d = 0; d < depth; ++d) {
      for (int64_t r = 0; r < rows; ++r) {
        const double left = a == nullptr ? 1 : a->floats[d * rows + r];
        for (int64_t c = 0; c < columns; ++c) {
          sum[r * columns + c] += factor * left * b.floats[d * columns + c];
        }
      }
    }
  }
  const bool vector = settings.product(0).row_sum();
  return Floats(vector ? std::vector<int64_t>{columns}
                       : std::vector<int64_t>{rows, columns},
                {sum.begin(), sum.end()});
}

// A rule by products against the same rule by the gradient itself, and the
// bits on 1, 2 and 3 threads.
void CheckProducts(const OpParams& plain, const OpParams& fused,
                   const op::UpdateSettings& settings,
                   const std::vector<Value>& factors,
                   const std::vector<Value>& after, int64_t rows,
                   int64_t columns, double tolerance) {
  constexpr int64_t kBatch = 7;
  const bool vector = settings.product(0).row_sum();
  const Value p = vector ? Random({columns}, 1) : Random({rows, columns}, 1);
  std::vector<Value> inputs = {
      p, GradientOf(settings, factors, rows, columns, kBatch)};
  inputs.insert(inputs.end(), after.begin(), after.end());
  const auto expected = RunOp(plain, inputs, 0, kBatch);
  ASSERT_TRUE(expected.ok()) << expected.status();
  inputs = {p};
  inputs.insert(inputs.end(), factors.begin(), factors.end());
  inputs.insert(inputs.end(), after.begin(), after.end());
  const int before = omp_get_max_threads();
  std::vector<RunResult> results;
  for (int threads : {1, 2, 3, 4}) {
    omp_set_num_threads(threads);
    auto result = RunOp(fused, inputs, 0, kBatch);
    ASSERT_TRUE(result.ok()) << result.status();
    results.push_back(*std::move(result));
  }
  omp_set_num_threads(before);
  const size_t shift = factors.size() - 1;
  for (size_t i = 0; i < expected->inputs.size(); ++i) {
    if (i == 1) continue;
    const size_t at = i == 0 ? 0 : i + shift;
    const Value& want = expected->inputs[i];
    for (const RunResult& result : results) {
      ASSERT_EQ(result.inputs[at].floats, results[0].inputs[at].floats);
      ASSERT_EQ(result.inputs[at].ints, want.ints);
    }
    for (size_t e = 0; e < want.floats.size(); ++e) {
      ASSERT_NEAR(results[0].inputs[at].floats[e], want.floats[e],
                  tolerance * std::max(1.0f, std::fabs(want.floats[e])))
          << "input " << i << ", element " << e;
    }
  }
}

// All rules, with `states` numbers of zeros for each state.
void CheckAllRules(const op::UpdateSettings& settings,
                   const std::vector<Value>& factors, int64_t rows,
                   int64_t columns, double tolerance) {
  const bool vector = settings.product(0).row_sum();
  const auto state = [&](float value) {
    const int64_t n = vector ? columns : rows * columns;
    return Floats(vector ? std::vector<int64_t>{columns}
                         : std::vector<int64_t>{rows, columns},
                  std::vector<float>(n, value));
  };
  const auto check = [&](auto rule, std::vector<Value> after) {
    SCOPED_TRACE(rule.GetDescriptor()->name());
    auto plain = rule;
    *plain.mutable_settings() = settings;
    plain.mutable_settings()->clear_product();
    plain.mutable_settings()->clear_precision();
    *rule.mutable_settings() = settings;
    after.insert(after.begin(), Floats({}, {0.1f}));
    CheckProducts(plain, rule, settings, factors, after, rows, columns,
                  tolerance);
  };
  check(op::Sgd(), {});
  check(op::Momentum(), {Floats({}, {0.9f}), state(0.5f)});
  op::Momentum nesterov;
  nesterov.set_nesterov(true);
  check(nesterov, {Floats({}, {0.9f}), state(0.5f)});
  // With a large epsilon steps don't hang on the signs of small gradients.
  op::Adam adam;
  adam.set_epsilon(1);
  check(adam, {state(0.1f), state(0.2f), Ints({1}, {3})});
  op::RmsProp rms;
  rms.set_epsilon(1);
  check(rms, {state(0.2f)});
  op::AdaGrad ada;
  ada.set_epsilon(1);
  check(ada, {state(0.2f)});
}

op::UpdateSettings Products(int count, bool row_sum) {
  op::UpdateSettings settings;
  settings.set_weight_decay(0.01f);
  settings.set_learning_rate_multiplier(0.5f);
  for (int i = 0; i < count; ++i) {
    op::GradientProduct* product = settings.add_product();
    product->set_factor(i % 2 == 0 ? 0.5f : -2.0f);
    product->set_divide_by_batch(i > 0);
    product->set_row_sum(row_sum);
  }
  return settings;
}

// Sizes about the tiles' and vectors' borders, tiny and large enough for
// several threads, one and several products.
TEST(ProductUpdateTest, EqualsTheGradientMadeFirst) {
  const int64_t sizes[][3] = {{1, 1, 1},    {5, 3, 2},     {6, 64, 10},
                              {13, 65, 7},  {250, 10, 10}, {131, 200, 10},
                              {90, 250, 33}};
  for (const auto& size : sizes) {
    for (int count : {1, 2, 3}) {
      SCOPED_TRACE(absl::StrCat(size[0], "x", size[1], " depth ", size[2],
                                ", products ", count));
      std::vector<Value> factors;
      for (int i = 0; i < count; ++i) {
        // Depths differ, odd ones among them.
        factors.push_back(Random({size[2] + i, size[0]}, 10 + i));
        factors.push_back(Random({size[2] + i, size[1]}, 20 + i));
      }
      CheckAllRules(Products(count, false), factors, size[0], size[1], 2e-5);
    }
  }
}

// What is zero in six rows of a tile is left out.
TEST(ProductUpdateTest, ZerosInTheLeftFactors) {
  CheckAllRules(Products(2, false),
                {WithZeros(Random({33, 90}, 1)), Random({33, 150}, 2),
                 Random({10, 90}, 3), Random({10, 150}, 4)},
                90, 150, 2e-5);
  Value blank = Random({20, 90}, 5);  // rows of tiles without anything
  for (size_t i = 0; i < blank.floats.size(); ++i) {
    if (i % 90 < 60) blank.floats[i] = 0;
  }
  CheckAllRules(Products(1, false), {blank, Random({20, 150}, 6)}, 90, 150,
                2e-5);
}

// A panel of columns at a time; and deeper than tiles go, blocks of rows by
// oneDNN.
TEST(ProductUpdateTest, DeepProductsToo) {
  CheckAllRules(Products(1, false), {Random({900, 13}, 1), Random({900, 5}, 2)},
                13, 5, 1e-4);
  CheckAllRules(Products(1, false),
                {Random({2100, 23}, 1), Random({2100, 30}, 2)}, 23, 30, 2e-4);
  CheckAllRules(Products(2, false),
                {Random({400, 70}, 1), Random({400, 90}, 2),
                 Random({300, 70}, 3), Random({300, 90}, 4)},
                70, 90, 1e-4);
  CheckAllRules(Products(1, false),
                {WithZeros(Random({301, 70}, 1)), Random({301, 90}, 2)}, 70, 90,
                1e-4);
}

TEST(ProductUpdateTest, RowSumsOfVectors) {
  for (int64_t columns : {1, 10, 500, 20000}) {
    CheckAllRules(Products(2, true),
                  {Random({10, columns}, 1), Random({3, columns}, 2)}, 1,
                  columns, 2e-5);
  }
}

TEST(ProductUpdateTest, Bf16RoundsTheFactorsOnly) {
  op::UpdateSettings settings = Products(2, false);
  settings.set_precision(BF16);
  const auto bf16 = [](Value value) {  // to 8 bits, which rounding keeps
    for (float& x : value.floats) x = std::round(x * 64) / 64;
    return value;
  };
  // Factors that BF16 holds exactly, powers of two as theirs: as in FP32.
  settings.mutable_product(0)->set_factor(2);
  settings.mutable_product(1)->set_factor(-0.25f);
  settings.mutable_product(1)->set_divide_by_batch(false);
  const std::vector<Value> exact = {
      bf16(Random({11, 131}, 1)), bf16(Random({11, 200}, 2)),
      bf16(Random({8, 131}, 3)), bf16(Random({8, 200}, 4))};
  if (!__builtin_cpu_supports("avx512bf16")) {
    op::Sgd rule;
    *rule.mutable_settings() = settings;
    std::vector<Value> inputs = {Random({131, 200}, 1)};
    inputs.insert(inputs.end(), exact.begin(), exact.end());
    inputs.push_back(Floats({}, {0.1f}));
    EXPECT_EQ(RunOp(rule, inputs).status().message(),
              "precision BF16 needs a CPU with AVX-512 BF16, which this one "
              "lacks; use FP32");
    return;
  }
  CheckAllRules(settings, exact, 131, 200, 2e-5);
  // Deep: by panels.
  settings.mutable_product()->DeleteSubrange(1, 1);
  CheckAllRules(settings,
                {bf16(Random({600, 70}, 5)), bf16(Random({600, 90}, 6))}, 70,
                90, 1e-4);
}

TEST(ProductUpdateTest, InferErrorsShowTheShapes) {
  op::Sgd rule;
  rule.mutable_settings()->add_product();
  const auto type = [](std::vector<int64_t> dims) {
    return TensorType{DType::kFloat, Shape(std::move(dims))};
  };
  EXPECT_EQ(
      InferError(rule, {type({3, 4}), type({-1, 3}), type({-1, 5}), type({})}),
      "a' b must be [3, 4], but a is [B, 3] and b [B, 5]");
  EXPECT_EQ(
      InferError(rule, {type({4}), type({-1, 3}), type({-1, 4}), type({})}),
      "products give a matrix [in, units], but the parameter is [4]");
  rule.mutable_settings()->mutable_product(0)->set_row_sum(true);
  EXPECT_EQ(InferError(rule, {type({4}), type({-1, 5}), type({})}),
            "rows of [B, 5] don't add up to a parameter [4]");
}

}  // namespace
}  // namespace tamer
