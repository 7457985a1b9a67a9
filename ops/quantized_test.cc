#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/quantized.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// All weights that there are, the extremes too.
Value RandomBytes(int64_t in, int64_t units, uint64_t seed) {
  std::vector<int8_t> values(in * units);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int8_t>(
        static_cast<int>(RandomBelow(seed, 0, i, 256)) - 128);
  }
  return Bytes({in, units}, std::move(values));
}

op::QuantizedDense Layer(int64_t units, float scale, int zero_point) {
  op::QuantizedDense dense;
  dense.set_units(units);
  dense.set_input_scale(scale);
  dense.set_input_zero_point(zero_point);
  return dense;
}

// Inputs x, weight, weight_scale and maybe bias; x [rows, in].
Reference ReferenceOf(const op::QuantizedDense& dense) {
  return [dense](const std::vector<Doubles>& in) {
    const int64_t units = dense.units();
    const int64_t width = static_cast<int64_t>(in[1].size()) / units;
    const int64_t rows = static_cast<int64_t>(in[0].size()) / width;
    const double zero = dense.input_zero_point();
    // In floats, as the op does: a half must fall to the same side.
    const float inverse = 1 / dense.input_scale();
    Doubles y(rows * units);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < units; ++j) {
        double sum = 0;
        for (int64_t i = 0; i < width; ++i) {
          const float steps =
              static_cast<float>(in[0][r * width + i]) * inverse;
          const double q =
              std::min(255.0, std::max(0.0, std::nearbyint(steps) + zero));
          sum += (q - zero) * in[1][i * units + j];
        }
        sum *= double{dense.input_scale()} * in[2][j];
        if (dense.bias()) sum += in[3][j];
        y[r * units + j] = Activate(dense.activation(), dense.slope(), sum);
      }
    }
    return std::vector<Doubles>{y};
  };
}

TEST(QuantizedDenseTest, EachActivation) {
  for (int m : {1, 3, 10}) {
    for (op::Activation activation : {op::LINEAR, op::SIGMOID, op::TANH,
                                      op::RELU, op::LEAKY_RELU, op::GELU}) {
      SCOPED_TRACE(op::Activation_Name(activation));
      op::QuantizedDense dense = Layer(7, 2.0f / 255, 128);
      dense.set_activation(activation);
      dense.set_slope(0.2);
      CheckOp(dense,
              {Random({m, 5}, 1), RandomBytes(5, 7, 2),
               Random({7}, 3, 0.001, 0.01), Random({7}, 4)},
              {}, ReferenceOf(dense));
    }
  }
}

// What lies outside of the calibrated range stays at its ends.
TEST(QuantizedDenseTest, InputsAreClamped) {
  for (int zero_point : {0, 100, 255}) {
    const op::QuantizedDense dense = Layer(3, 0.01f, zero_point);
    CheckOp(dense,
            {Random({4, 6}, 1, -5, 5), RandomBytes(6, 3, 2),
             Random({3}, 3, 0.001, 0.01), Random({3}, 4)},
            {}, ReferenceOf(dense));
  }
  const float infinity = std::numeric_limits<float>::infinity();
  const auto run =
      RunOp(Layer(1, 0.5f, 10),
            {Floats({4, 1}, {infinity, -infinity, NAN, 0.75f}),
             Bytes({1, 1}, {2}), Floats({1}, {1}), Floats({1}, {0.25f})});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->outputs[0].floats,
            (std::vector<float>{245.25f, -9.75f, -9.75f, 2.25f}));
}

TEST(QuantizedDenseTest, MoreDimensionsAreRowsAndTheBiasMayBeMissing) {
  op::QuantizedDense dense = Layer(4, 0.01f, 90);
  dense.set_bias(false);
  CheckOp(
      dense,
      {Random({2, 3, 5}, 1), RandomBytes(5, 4, 2), Random({4}, 3, 0.001, 0.01)},
      {}, ReferenceOf(dense));
}

// The shapes of 784-500-250-10 at the usual minibatches: the same bits on any
// number of threads (CheckOp asserts it).
TEST(QuantizedDenseTest, RealShapesOnAnyNumberOfThreads) {
  for (int m : {1, 10, 100}) {
    op::QuantizedDense dense = Layer(500, 1.0f / 255, 0);
    dense.set_activation(op::SIGMOID);
    CheckOp(dense,
            {Random({m, 784}, 1, 0, 1), RandomBytes(784, 500, 2),
             Random({500}, 3, 0.0001, 0.001), Random({500}, 4)},
            {}, ReferenceOf(dense));
  }
}

// Every product as large as can be: 32 bits hold the sum, 16 would not.
TEST(QuantizedDenseTest, TheLargestSums) {
  constexpr int kIn = 4096;
  const op::QuantizedDense dense = Layer(16, 1, 0);
  CheckOp(dense,
          {Floats({1, kIn}, std::vector<float>(kIn, 255)),
           Bytes({kIn, 16}, std::vector<int8_t>(kIn * 16, -128)),
           Floats({16}, std::vector<float>(16, 1e-6f)),
           Floats({16}, std::vector<float>(16, 1))},
          {}, ReferenceOf(dense));
}

TEST(QuantizedDenseTest, InferErrors) {
  const TensorType x{DType::kFloat, Shape({-1, 4})};
  EXPECT_EQ(InferError(Layer(0, 1, 0), {x}),
            "units is 0; it must be 1 to 16777216");
  EXPECT_EQ(InferError(Layer(3, 0, 0), {x}),
            "input_scale is 0; it must be above 0");
  EXPECT_EQ(InferError(Layer(3, NAN, 0), {x}),
            "input_scale is nan; it must be above 0");
  EXPECT_EQ(InferError(Layer(3, -1, 0), {x}),
            "input_scale is -1; it must be above 0");
  EXPECT_EQ(InferError(Layer(3, 1, 256), {x}),
            "input_zero_point is 256; it must be 0 to 255");
  EXPECT_EQ(InferError(Layer(3, 1, 0), {{DType::kFloat, Shape({-1, 70000})}}),
            "the input must be [B, ..., in] with in from 1 to 65793, but is "
            "[B, 70000]");
}

TEST(QuantizedDenseTest, WeightScalesThatMakeNoSenseAreRefused) {
  for (float scale :
       {0.0f, -1.0f, NAN, 1e-44f, std::numeric_limits<float>::infinity()}) {
    const auto run =
        RunOp(Layer(2, 1, 0), {Random({1, 3}, 1), RandomBytes(3, 2, 2),
                               Floats({2}, {1, scale}), Random({2}, 4)});
    EXPECT_NE(std::string(run.status().message())
                  .find("it must be above 0; export the product once more"),
              std::string::npos)
        << scale << ": " << run.status();
  }
}

}  // namespace
}  // namespace tamer
