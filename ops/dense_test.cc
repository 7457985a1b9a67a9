#include <omp.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/cpu.h"
#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/dense.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// op(a) * op(b), the operands as they lie in memory.
Doubles Product(const Doubles& a, const Doubles& b, int m, int k, int n,
                bool ta, bool tb) {
  Doubles c(m * n, 0);
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      for (int l = 0; l < k; ++l) {
        c[i * n + j] +=
            a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j];
      }
    }
  }
  return c;
}

TEST(DenseTest, EachActivationAndItsGradient) {
  for (int m : {1, 3, 10}) {
    for (op::Activation activation : {op::LINEAR, op::SIGMOID, op::TANH,
                                      op::RELU, op::LEAKY_RELU, op::GELU}) {
      op::Dense dense;
      dense.set_units(7);
      dense.set_activation(activation);
      dense.set_slope(0.2);
      SCOPED_TRACE(op::Activation_Name(activation));
      CheckOp(dense, {Random({m, 5}, 1), Random({5, 7}, 2), Random({7}, 3)},
              {0, 1, 2}, [&](const std::vector<Doubles>& in) {
                Doubles y = Product(in[0], in[1], m, 5, 7, false, false);
                for (size_t i = 0; i < y.size(); ++i) {
                  y[i] = Activate(activation, 0.2f, y[i] + in[2][i % 7]);
                }
                return std::vector<Doubles>{y};
              });
    }
  }
}

TEST(DenseTest, MoreDimensionsAreRows) {
  op::Dense dense;
  dense.set_units(4);
  CheckOp(dense, {Random({2, 3, 5}, 1), Random({5, 4}, 2), Random({4}, 3)},
          {0, 1, 2}, [](const std::vector<Doubles>& in) {
            Doubles y = Product(in[0], in[1], 6, 5, 4, false, false);
            for (size_t i = 0; i < y.size(); ++i) y[i] += in[2][i % 4];
            return std::vector<Doubles>{y};
          });
}

// As prediction runs them: weights packed once, at the borders of panels and
// tiles.
TEST(DenseTest, FixedVariables) {
  const int before = omp_get_max_threads();
  op::Dense dense;
  dense.set_activation(op::SIGMOID);
  for (int m : {1, 2, 7, 100}) {
    for (int units : {10, 64, 250}) {
      for (int in : {1, 33, 300}) {
        SCOPED_TRACE(absl::StrCat(m, " ", in, " ", units));
        dense.set_units(units);
        const std::vector<Value> values = {Random({m, in}, 1),
                                           Random({in, units}, 2, -0.1, 0.1),
                                           Random({units}, 3)};
        const auto plain = RunOp(dense, values);
        ASSERT_TRUE(plain.ok());
        std::vector<float> first;
        for (int threads : {1, 2, 3}) {
          omp_set_num_threads(threads);
          const auto fixed = RunOp(dense, values, 0, 1, true);
          ASSERT_TRUE(fixed.ok());
          const std::vector<float>& y = fixed->outputs[0].floats;
          for (size_t i = 0; i < y.size(); ++i) {
            ASSERT_NEAR(y[i], plain->outputs[0].floats[i], 1e-5) << i;
          }
          if (first.empty()) first = y;
          EXPECT_EQ(first, y) << threads << " threads";
        }
        omp_set_num_threads(before);
      }
    }
  }
}

TEST(DenseTest, FixedVariablesInBf16) {
  if (!CpuHasBf16()) GTEST_SKIP() << kNoBf16;
  op::Dense dense;
  dense.set_units(250);
  dense.set_activation(op::GELU);
  for (int m : {1, 7, 100}) {
    const std::vector<Value> values = {Random({m, 301}, 1),
                                       Random({301, 250}, 2, -0.1, 0.1),
                                       Random({250}, 3)};
    const auto plain = RunOp(dense, values);
    dense.set_precision(BF16);
    const auto rounded = RunOp(dense, values, 0, 1, true);
    dense.clear_precision();
    ASSERT_TRUE(plain.ok() && rounded.ok());
    double worst = 0;
    for (size_t i = 0; i < plain->outputs[0].floats.size(); ++i) {
      worst = std::max<double>(worst, std::fabs(plain->outputs[0].floats[i] -
                                                rounded->outputs[0].floats[i]));
    }
    EXPECT_LT(worst, 0.02);
    EXPECT_GT(worst, 0);  // it did round
  }
}

// Which zeros are left out depends on the other samples; no sample's answer
// does.
TEST(DenseTest, FixedVariablesAndZerosInSamples) {
  op::Dense dense;
  dense.set_units(250);
  dense.set_activation(op::RELU);
  const int in = 301;
  for (Precision precision : {FP32, BF16}) {
    if (precision == BF16 && !CpuHasBf16()) continue;
    dense.set_precision(precision);
    for (int m : {1, 2, 7, 100}) {
      SCOPED_TRACE(absl::StrCat(Precision_Name(precision), " ", m));
      Value samples = WithZeros(Random({m, in}, 1));
      Value more = Random({m + 1, in}, 4);  // the last one has no zeros
      std::copy(samples.floats.begin(), samples.floats.end(),
                more.floats.begin());
      const Value weight = Random({in, 250}, 2, -0.1, 0.1);
      const Value bias = Random({250}, 3);
      const auto left_out =
          RunOp(dense, {samples, weight, bias}, 0, 1, /*fixed_variables=*/true);
      const auto all =
          RunOp(dense, {more, weight, bias}, 0, 1, /*fixed_variables=*/true);
      ASSERT_TRUE(left_out.ok() && all.ok());
      std::vector<float> expected = all->outputs[0].floats;
      expected.resize(m * 250);
      EXPECT_EQ(left_out->outputs[0].floats, expected);
    }
  }
}

// A Scheduler may have more threads than there were when the plan was made.
TEST(DenseTest, FixedVariablesOnMoreThreadsThanExpected) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  op::Dense dense;
  dense.set_units(250);
  for (Precision precision : {FP32, BF16}) {
    if (precision == BF16 && !CpuHasBf16()) continue;
    dense.set_precision(precision);
    for (int m : {1, 10}) {
      const std::vector<Value> values = {WithZeros(Random({m, 301}, 1)),
                                         Random({301, 250}, 2, -0.1, 0.1),
                                         Random({250}, 3)};
      const auto alone = RunOp(dense, values, 0, 1, /*fixed_variables=*/true);
      const auto together = RunOp(dense, values, 0, 1, /*fixed_variables=*/true,
                                  /*threads=*/4);
      ASSERT_TRUE(alone.ok() && together.ok());
      EXPECT_EQ(alone->outputs[0].floats, together->outputs[0].floats);
    }
  }
  omp_set_num_threads(before);
}

TEST(DenseTest, WithoutBias) {
  op::Dense dense;
  dense.set_units(4);
  dense.set_bias(false);
  CheckOp(dense, {Random({3, 5}, 1), Random({5, 4}, 2)}, {0, 1},
          [](const std::vector<Doubles>& in) {
            return std::vector<Doubles>{
                Product(in[0], in[1], 3, 5, 4, false, false)};
          });
}

// The shapes of 784-500-250-10 at the usual minibatches: results are the same
// bits on any number of threads (CheckOp asserts it).
TEST(DenseTest, RealShapesOnAnyNumberOfThreads) {
  for (int m : {1, 10, 100}) {
    op::Dense dense;
    dense.set_units(500);
    dense.set_activation(op::SIGMOID);
    CheckOp(dense,
            {Random({m, 784}, 1), Random({784, 500}, 2, -0.05, 0.05),
             Random({500}, 3)},
            {}, [&](const std::vector<Doubles>& in) {
              Doubles y = Product(in[0], in[1], m, 784, 500, false, false);
              for (size_t i = 0; i < y.size(); ++i) {
                y[i] = Activate(op::SIGMOID, 0, y[i] + in[2][i % 500]);
              }
              return std::vector<Doubles>{y};
            });
  }
}

TEST(DenseTest, InferErrorsShowTheShapes) {
  op::Dense dense;
  EXPECT_EQ(InferError(dense, {{DType::kFloat, Shape({-1, 4})}}),
            "units is 0; it must be 1 to 16777216");
  dense.set_units(3);
  EXPECT_EQ(InferError(dense, {}), "takes 1 input (x), not 0");
  EXPECT_EQ(InferError(dense, {{DType::kFloat, Shape({-1})}}),
            "the input must have a batch and at least one more dimension, as "
            "[B, in], but is [B]");
  EXPECT_EQ(InferError(dense, {{DType::kInt32, Shape({-1, 4})}}),
            "input 0 must be FLOAT, not INT32 [B, 4]");
}

TEST(AffineTest, BorrowedWeightsBothWays) {
  for (bool transposed : {false, true}) {
    op::Affine affine;
    affine.set_transpose_weight(transposed);
    affine.set_activation(op::SIGMOID);
    std::vector<int64_t> shape = {5, 4};
    if (transposed) std::swap(shape[0], shape[1]);
    CheckOp(affine, {Random({3, 5}, 1), Random(shape, 2), Random({4}, 3)},
            {0, 1, 2}, [&](const std::vector<Doubles>& in) {
              Doubles y = Product(in[0], in[1], 3, 5, 4, false, transposed);
              for (size_t i = 0; i < y.size(); ++i) {
                y[i] = Activate(op::SIGMOID, 0, y[i] + in[2][i % 4]);
              }
              return std::vector<Doubles>{y};
            });
  }
}

TEST(AffineTest, InferErrorsShowTheShapes) {
  op::Affine affine;
  const TensorType x{DType::kFloat, Shape({-1, 5})};
  EXPECT_EQ(InferError(affine, {x, {DType::kFloat, Shape({4, 5})}}),
            "the input is [B, 5], but the weight [4, 5] takes 4 numbers a row");
  affine.set_transpose_weight(true);
  EXPECT_EQ(InferError(affine, {x, {DType::kFloat, Shape({5, 4})}}),
            "the input is [B, 5], but the weight [5, 4], transposed, takes 4 "
            "numbers a row");
  EXPECT_EQ(InferError(affine, {x,
                                {DType::kFloat, Shape({4, 5})},
                                {DType::kFloat, Shape({5})}}),
            "the bias must be [4], but is [5]");
}

// Parameters so large that threads own their rows, at every path's borders.
TEST(DenseTest, LargeParametersOnAnyNumberOfThreads) {
  for (op::Activation activation : {op::LINEAR, op::SIGMOID, op::TANH, op::RELU,
                                    op::LEAKY_RELU, op::GELU}) {
    for (int m : {1, 10, 64}) {
      op::Dense dense;
      dense.set_units(129);
      dense.set_activation(activation);
      dense.set_slope(0.2);
      dense.set_bias(m != 10);
      SCOPED_TRACE(absl::StrCat(op::Activation_Name(activation), " ", m));
      std::vector<Value> inputs = {Random({m, 301}, 1),
                                   Random({301, 129}, 2, -0.1f, 0.1f)};
      if (m != 10) inputs.push_back(Random({129}, 3));
      CheckOp(dense, inputs, {}, [&](const std::vector<Doubles>& in) {
        Doubles sum = Product(in[0], in[1], m, 301, 129, false, false);
        Doubles y(sum.size());
        for (size_t i = 0; i < y.size(); ++i) {
          if (m != 10) sum[i] += in[2][i % 129];
          y[i] = Activate(activation, 0.2f, sum[i]);
        }
        std::vector<Doubles> outputs = {y};
        if (activation == op::GELU) outputs.push_back(sum);
        return outputs;
      });
    }
  }
}

TEST(AffineTest, LargeParametersTransposed) {
  for (op::Activation activation : {op::LINEAR, op::SIGMOID, op::TANH}) {
    for (int m : {11, 64}) {
      op::Affine affine;
      affine.set_transpose_weight(true);
      affine.set_activation(activation);
      CheckOp(affine,
              {Random({m, 129}, 1), Random({301, 129}, 2, -0.1f, 0.1f),
               Random({301}, 3)},
              {}, [&](const std::vector<Doubles>& in) {
                Doubles y = Product(in[0], in[1], m, 129, 301, false, true);
                for (size_t i = 0; i < y.size(); ++i) {
                  y[i] = Activate(activation, 0, y[i] + in[2][i % 301]);
                }
                return std::vector<Doubles>{y};
              });
    }
  }
}

// Of large parameters what is zero in six rows is left out.
TEST(AffineTest, ZerosInTheLeftFactor) {
  for (bool transposed : {false, true}) {
    op::Affine affine;
    affine.set_transpose_weight(transposed);
    affine.set_activation(op::SIGMOID);
    const int in = transposed ? 259 : 301, units = transposed ? 301 : 259;
    CheckOp(affine,
            {WithZeros(Random({65, in}, 1)), Random({301, 259}, 2, -0.1f, 0.1f),
             Random({units}, 3)},
            {}, [&](const std::vector<Doubles>& v) {
              Doubles y = Product(v[0], v[1], 65, in, units, false, transposed);
              for (size_t i = 0; i < y.size(); ++i) {
                y[i] = Activate(op::SIGMOID, 0, y[i] + v[2][i % units]);
              }
              return std::vector<Doubles>{y};
            });
  }
}

double GeluSlope(double x) {
  return 0.5 * (1 + std::erf(x / std::sqrt(2.0))) +
         x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
}

// So many rows that blocks of them are finished one by one.
TEST(DenseTest, ManyRows) {
  for (op::Activation activation : {op::LINEAR, op::RELU, op::GELU}) {
    for (int units : {5, 70}) {
      for (bool bias : {false, true}) {
        op::Dense dense;
        dense.set_units(units);
        dense.set_activation(activation);
        dense.set_bias(bias);
        SCOPED_TRACE(absl::StrCat(op::Activation_Name(activation), units));
        std::vector<Value> inputs = {Random({3, 103, 33}, 1),
                                     Random({33, units}, 2)};
        if (bias) inputs.push_back(Random({units}, 3));
        CheckOp(dense, inputs, {}, [&](const std::vector<Doubles>& in) {
          Doubles sum = Product(in[0], in[1], 309, 33, units, false, false);
          Doubles y(sum.size());
          for (size_t i = 0; i < y.size(); ++i) {
            if (bias) sum[i] += in[2][i % units];
            y[i] = Activate(activation, 0, sum[i]);
          }
          std::vector<Doubles> outputs = {y};
          if (activation == op::GELU) outputs.push_back(sum);
          return outputs;
        });
      }
    }
  }
}

// x W' times an activation's derivative: small and large parameters, few rows
// and many.
TEST(AffineTest, SlopeOf) {
  for (int in : {9, 301}) {
    for (op::Activation activation :
         {op::SIGMOID, op::TANH, op::RELU, op::LEAKY_RELU, op::GELU}) {
      op::Affine affine;
      affine.set_transpose_weight(true);
      affine.set_slope_of(activation);
      const int rows = activation == op::GELU ? 301 : 11;
      affine.set_slope(0.2);
      CheckOp(
          affine,
          {Random({rows, 129}, 1), Random({in, 129}, 2), Random({rows, in}, 3)},
          {}, [&](const std::vector<Doubles>& v) {
            Doubles y = Product(v[0], v[1], rows, 129, in, false, true);
            for (size_t i = 0; i < y.size(); ++i) {
              const double z = v[2][i];
              y[i] *= activation == op::SIGMOID ? z * (1 - z)
                      : activation == op::TANH  ? 1 - z * z
                      : activation == op::GELU  ? GeluSlope(z)
                      : z > 0                   ? 1
                      : activation == op::RELU  ? 0
                                                : 0.2f;
            }
            return std::vector<Doubles>{y};
          });
    }
  }
}

// Factors that BF16 holds exactly: as FP32 would multiply them.
TEST(DenseTest, Bf16RoundsTheFactorsOnly) {
  if (!__builtin_cpu_supports("avx512bf16")) GTEST_SKIP() << "no AVX-512 BF16";
  const auto exact = [](Value value) {
    for (float& x : value.floats) x = std::round(x * 64) / 64;
    return value;
  };
  for (int m : {1, 47, 64, 300}) {
    for (bool transposed : {false, true}) {
      SCOPED_TRACE(absl::StrCat(m, transposed ? " transposed" : ""));
      const int in = transposed ? 129 : 301, units = transposed ? 301 : 129;
      op::Affine affine;
      affine.set_transpose_weight(transposed);
      affine.set_activation(m == 47 ? op::TANH : op::SIGMOID);
      affine.set_precision(BF16);
      CheckOp(
          affine,
          {m == 64 ? WithZeros(exact(Random({m, in}, 1)))
                   : exact(Random({m, in}, 1)),
           exact(Random({301, 129}, 2)), Random({units}, 3)},
          {}, [&](const std::vector<Doubles>& v) {
            Doubles y = Product(v[0], v[1], m, in, units, false, transposed);
            for (size_t i = 0; i < y.size(); ++i) {
              y[i] = Activate(affine.activation(), 0, y[i] + v[2][i % units]);
            }
            return std::vector<Doubles>{y};
          });
    }
  }
}

TEST(MatMulTest, AllFourTransposesAndTheirGradients) {
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      op::MatMul product;
      product.set_transpose_a(ta);
      product.set_transpose_b(tb);
      SCOPED_TRACE(absl::StrCat(ta, tb));
      CheckOp(
          product,
          {ta ? Random({5, 3}, 1) : Random({3, 5}, 1),
           tb ? Random({4, 5}, 2) : Random({5, 4}, 2)},
          {0, 1}, [&](const std::vector<Doubles>& in) {
            return std::vector<Doubles>{Product(in[0], in[1], 3, 5, 4, ta, tb)};
          });
    }
  }
}

TEST(MatMulTest, WeightGradientShapesOnAnyNumberOfThreads) {
  op::MatMul product;
  product.set_transpose_a(true);
  for (int k : {1, 7, 10, 100, 200}) {
    CheckOp(product, {Random({k, 300}, 1), Random({k, 250}, 2)}, {},
            [&](const std::vector<Doubles>& in) {
              return std::vector<Doubles>{
                  Product(in[0], in[1], 300, k, 250, true, false)};
            });
  }
}

TEST(MatMulTest, InferErrorsShowTheShapes) {
  op::MatMul product;
  const auto type = [](std::vector<int64_t> dims) {
    return TensorType{DType::kFloat, Shape(std::move(dims))};
  };
  EXPECT_EQ(InferError(product, {type({-1, 5}), type({4, 5})}),
            "the inner dimensions differ: [B, 5] times [4, 5]");
  product.set_transpose_b(true);
  EXPECT_EQ(
      InferError(product, {type({-1, 5}), type({-1, 5})}),
      "the product of [B, 5] and [B, 5] would grow with the square of the "
      "batch");
}

TEST(BiasTest, AddsAlongTheLastDimension) {
  CheckOp(op::Bias(), {Random({2, 3, 4}, 1), Random({4}, 2)}, {0, 1},
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i % 4];
            return std::vector<Doubles>{y};
          });
}

}  // namespace
}  // namespace tamer
