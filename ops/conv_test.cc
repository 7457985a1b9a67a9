#include <functional>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/conv.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;
using Dims = std::vector<int>;  // of the three spatial dimensions

// A convolution by its definition, all sizes told; dimensions that an op lacks
// are 1.
struct Naive {
  int batch, in, out, groups = 1;
  Dims size, kernel, stride = {1, 1, 1}, dilation = {1, 1, 1};
  Dims before = {0, 0, 0}, after = {0, 0, 0};
  bool last = false;
  op::Activation activation = op::LINEAR;

  int Out(int i) const {
    const int span = (kernel[i] - 1) * dilation[i] + 1;
    return (size[i] + before[i] + after[i] - span) / stride[i] + 1;
  }
  int Area(const Dims& d) const { return d[0] * d[1] * d[2]; }
  Dims OutDims() const { return {Out(0), Out(1), Out(2)}; }
  int At(int b, int c, int place, int channels, int area) const {
    return last ? (b * area + place) * channels + c
                : (b * channels + c) * area + place;
  }

  // Calls body(x index, weight index, y index) for each product.
  void ForEach(const std::function<void(int, int, int)>& body) const {
    const Dims o = OutDims();
    const int group_in = in / groups, group_out = out / groups;
    for (int b = 0; b < batch; ++b) {
      for (int f = 0; f < out; ++f) {
        for (int p = 0; p < Area(o); ++p) {
          const Dims at = {p / (o[1] * o[2]), p / o[2] % o[1], p % o[2]};
          for (int c = 0; c < group_in; ++c) {
            for (int k = 0; k < Area(kernel); ++k) {
              const Dims tap = {k / (kernel[1] * kernel[2]),
                                k / kernel[2] % kernel[1], k % kernel[2]};
              int place = 0;
              bool inside = true;
              for (int i = 0; i < 3; ++i) {
                const int q =
                    at[i] * stride[i] + tap[i] * dilation[i] - before[i];
                inside = inside && q >= 0 && q < size[i];
                place = place * size[i] + q;
              }
              if (!inside) continue;
              const int channel = f / group_out * group_in + c;
              body(At(b, channel, place, in, Area(size)),
                   (f * group_in + c) * Area(kernel) + k,
                   At(b, f, p, out, Area(o)));
            }
          }
        }
      }
    }
  }

  // y of x, weight[, bias].
  std::vector<Doubles> Forward(const std::vector<Doubles>& v) const {
    const int area = Area(OutDims());
    Doubles y(batch * out * area, 0);
    ForEach([&](int x, int w, int z) { y[z] += v[0][x] * v[1][w]; });
    Finish(v, out, area, &y);
    return {y};
  }

  // The transposed one's: from y and weight[, bias] to x.
  std::vector<Doubles> Transposed(const std::vector<Doubles>& v) const {
    Doubles x(batch * in * Area(size), 0);
    ForEach([&](int a, int w, int z) { x[a] += v[0][z] * v[1][w]; });
    Finish(v, in, Area(size), &x);
    return {x};
  }

  void Finish(const std::vector<Doubles>& v, int channels, int area,
              Doubles* y) const {
    for (int b = 0; b < batch; ++b) {
      for (int c = 0; c < channels; ++c) {
        for (int p = 0; p < area; ++p) {
          double& sum = (*y)[At(b, c, p, channels, area)];
          if (v.size() > 2) sum += v[2][c];
          sum = Activate(activation, 0.01f, sum);
        }
      }
    }
  }
};

// The shape of an image; `spatial` of the three dimensions are the op's own,
// the last ones.
std::vector<int64_t> ImageShape(const Naive& n, int channels, const Dims& dims,
                                int spatial) {
  std::vector<int64_t> shape = {n.batch};
  if (!n.last) shape.push_back(channels);
  shape.insert(shape.end(), dims.end() - spatial, dims.end());
  if (n.last) shape.push_back(channels);
  return shape;
}

template <typename Params>
Params ParamsOf(const Naive& n, int filters, int spatial) {
  Params params;
  params.set_filters(filters);
  params.set_groups(n.groups);
  params.set_channels_last(n.last);
  params.set_activation(n.activation);
  for (int i = 3 - spatial; i < 3; ++i) {
    params.add_kernel(n.kernel[i]);
    params.add_stride(n.stride[i]);
    params.add_dilation(n.dilation[i]);
    params.add_pad(n.before[i]);
    params.add_pad(n.after[i]);
  }
  return params;
}

// Values and all gradients, with and without bias.
template <typename Params>
void Check(const Naive& n, int spatial) {
  SCOPED_TRACE(testing::Message()
               << "groups " << n.groups << ", stride " << n.stride[2]
               << ", dilation " << n.dilation[2] << ", pad " << n.before[2]
               << ", " << n.after[2] << (n.last ? ", channels last" : ""));
  Params params = ParamsOf<Params>(n, n.out, spatial);
  std::vector<int64_t> weight = {n.out, n.in / n.groups};
  weight.insert(weight.end(), n.kernel.end() - spatial, n.kernel.end());
  std::vector<Value> inputs = {Random(ImageShape(n, n.in, n.size, spatial), 1),
                               Random(weight, 2), Random({n.out}, 3)};
  const auto forward = [n](const std::vector<Doubles>& v) {
    return n.Forward(v);
  };
  CheckOp(params, inputs, {0, 1, 2}, forward);
  params.set_bias(false);
  inputs.pop_back();
  CheckOp(params, inputs, {0, 1}, forward);
}

TEST(ConvTest, EveryStrideDilationGroupAndPadding) {
  for (bool last : {false, true}) {
    for (int groups : {1, 2, 4}) {
      for (int stride : {1, 2}) {
        for (int dilation : {1, 2}) {
          for (int pad : {0, 1}) {
            Naive n{2, 4, 4, groups, {1, 6, 5}, {1, 3, 2}};
            n.stride = {1, stride, stride};
            n.dilation = {1, dilation, dilation};
            n.before = {0, pad, 0};
            n.after = {0, pad, pad};
            n.last = last;
            Check<op::Conv2D>(n, 2);
          }
        }
      }
    }
  }
}

TEST(ConvTest, SizesThatAreNoMultiples) {
  for (bool last : {false, true}) {
    Naive lenet{1, 1, 20, 1, {1, 7, 6}, {1, 5, 5}};
    lenet.last = last;
    Check<op::Conv2D>(lenet, 2);
    Naive wide{3, 17, 19, 1, {1, 3, 4}, {1, 1, 1}};
    wide.last = last;
    Check<op::Conv2D>(wide, 2);
    Naive deep{2, 20, 7, 1, {1, 3, 2}, {1, 3, 2}};
    deep.before = deep.after = {0, 1, 0};
    deep.last = last;
    Check<op::Conv2D>(deep, 2);
    Naive depthwise{2, 18, 18, 18, {1, 4, 5}, {1, 3, 3}};
    depthwise.before = depthwise.after = {0, 1, 1};
    depthwise.last = last;
    Check<op::Conv2D>(depthwise, 2);
  }
}

// All three products by their definition.
void CheckProducts(const Naive& n) {
  const Value x = Random(ImageShape(n, n.in, n.size, 2), 1);
  const Value dy = Random(ImageShape(n, n.out, n.OutDims(), 2), 2);
  const Value weight = Random({n.out, n.in, n.kernel[1], n.kernel[2]}, 3);
  CheckOp(ParamsOf<op::Conv2D>(n, n.out, 2), {x, weight, Random({n.out}, 4)},
          {}, [n](const std::vector<Doubles>& v) { return n.Forward(v); });
  op::ConvolutionInputGradient input;
  op::ConvGeometry& geometry = *input.mutable_geometry();
  for (int i = 1; i < 3; ++i) {
    geometry.add_size(n.size[i]);
    geometry.add_kernel(n.kernel[i]);
    geometry.add_stride(1);
    geometry.add_dilation(1);
    geometry.add_pad(n.before[i]);
    geometry.add_pad(n.after[i]);
  }
  input.set_channels_last(n.last);
  CheckOp(input, {dy, weight}, {}, [n](const std::vector<Doubles>& v) {
    Doubles dx(n.batch * n.in * n.Area(n.size), 0);
    n.ForEach([&](int a, int w, int z) { dx[a] += v[0][z] * v[1][w]; });
    return std::vector<Doubles>{dx};
  });
  op::ConvolutionWeightGradient product;
  *product.mutable_geometry() = geometry;
  product.set_channels_last(n.last);
  product.set_bias(true);
  CheckOp(product, {x, dy}, {}, [n](const std::vector<Doubles>& v) {
    Doubles dw(n.out * n.in * n.Area(n.kernel), 0), db(n.out, 0);
    n.ForEach([&](int a, int w, int z) { dw[w] += v[0][a] * v[1][z]; });
    for (size_t i = 0; i < v[1].size(); ++i) db[i % n.out] += v[1][i];
    return std::vector<Doubles>{dw, db};
  });
}

// Kernels of 3 x 3 and 5 x 5 by Winograd's algorithm: whole pieces and parts of
// them, with and without padding, channels that fill vectors and don't. Enough
// samples that it is chosen.
TEST(ConvTest, FewerMultiplications) {
  for (int kernel : {3, 5}) {
    const Dims window = {1, kernel, kernel};
    for (int pad : {0, 1, 2}) {
      const bool relu = pad == 1;
      Naive n{6, relu ? 20 : 16, relu ? 16 : 50, 1, {1, 12, 11 + pad}, window};
      n.before = {0, pad, pad};
      n.after = {0, pad, pad / 2};
      n.last = true;
      n.activation = relu ? op::RELU : op::LINEAR;
      SCOPED_TRACE(testing::Message() << "kernel " << kernel << " pad " << pad);
      CheckProducts(n);
    }
  }
}

TEST(ConvTest, OneAndThreeDimensions) {
  for (bool last : {false, true}) {
    Naive line{2, 4, 6, 2, {1, 1, 11}, {1, 1, 3}};
    line.stride = {1, 1, 2};
    line.before = {0, 0, 2};
    line.last = last;
    Check<op::Conv1D>(line, 1);
    Naive cube{2, 2, 3, 1, {3, 4, 3}, {2, 3, 2}};
    cube.stride = {1, 2, 1};
    cube.before = {1, 0, 0};
    cube.last = last;
    Check<op::Conv3D>(cube, 3);
  }
}

TEST(ConvTest, FusedActivations) {
  for (op::Activation activation :
       {op::SIGMOID, op::TANH, op::RELU, op::LEAKY_RELU, op::GELU}) {
    Naive n{2, 3, 4, 1, {1, 4, 4}, {1, 3, 3}};
    n.activation = activation;
    n.last = activation == op::GELU || activation == op::RELU;
    Check<op::Conv2D>(n, 2);
  }
}

// LeNet's second convolution, and one of oneDNN's: all three products.
void CheckBits(int64_t batch, int64_t in, int64_t out, bool last) {
  const auto no_reference = [](const auto&) { return std::vector<Doubles>(); };
  const auto image = [&](int64_t channels, int64_t size, uint64_t seed) {
    return last ? Random({batch, size, size, channels}, seed)
                : Random({batch, channels, size, size}, seed);
  };
  const Value x = image(in, 12, 4), dy = image(out, 8, 7);
  const Value weight = Random({out, in, 5, 5}, 5);
  op::Conv2D params;
  params.set_filters(out);
  params.add_kernel(5);
  params.set_channels_last(last);
  CheckOp(params, {x, weight, Random({out}, 6)}, {}, no_reference);
  op::ConvolutionInputGradient input;
  op::ConvGeometry& geometry = *input.mutable_geometry();
  for (int i = 0; i < 2; ++i) {
    geometry.add_size(12);
    geometry.add_kernel(5);
    geometry.add_stride(1);
    geometry.add_dilation(1);
  }
  input.set_channels_last(last);
  CheckOp(input, {dy, weight}, {}, no_reference);
  op::ConvolutionWeightGradient product;
  *product.mutable_geometry() = geometry;
  product.set_channels_last(last);
  product.set_bias(true);
  CheckOp(product, {x, dy}, {}, no_reference);
}

TEST(ConvTest, LargeOnAnyNumberOfThreads) {
  for (bool last : {false, true}) {
    for (int64_t batch : {1, 10}) {
      CheckBits(batch, 20, 50, last);
      CheckBits(batch, 12, 50, last);
      CheckBits(batch, 32, 48, last);
      CheckBits(batch, 1, 20, last);
    }
  }
}

TEST(ConvTest, SameDecidesTheSizeByStrideAlone) {
  op::Conv2D params;
  params.set_filters(2);
  params.add_kernel(4);
  params.add_stride(2);
  params.set_padding(op::SAME);
  Naive n{1, 3, 2, 1, {1, 5, 6}, {1, 4, 4}};
  n.stride = {1, 2, 2};
  n.before = {0, 1, 1};
  n.after = {0, 2, 1};
  CheckOp(params,
          {Random({1, 3, 5, 6}, 8), Random({2, 3, 4, 4}, 9), Random({2}, 10)},
          {0, 1, 2},
          [n](const std::vector<Doubles>& v) { return n.Forward(v); });
}

TEST(ConvTransposeTest, IsTheTransposeOfAConvolution) {
  for (bool last : {false, true}) {
    for (int groups : {1, 2}) {
      for (int stride : {1, 2, 3}) {
        for (int pad : {0, 1}) {
          // `in` are the transposed one's filters.
          Naive n{2, 4, 6, groups, {1, 0, 0}, {1, 3, 2}};
          n.stride = {1, stride, stride};
          n.before = {0, pad, pad};
          n.after = {0, pad, 0};
          n.size[1] = 2 * stride + 3 - 2 * pad;
          n.size[2] = 3 * stride + 2 - pad + (stride - 1);
          n.last = last;
          n.activation = stride == 2 ? op::TANH : op::LINEAR;
          auto params = ParamsOf<op::ConvTranspose2D>(n, n.in, 2);
          params.add_output_pad(0);
          params.add_output_pad(stride - 1);
          CheckOp(params,
                  {Random(ImageShape(n, n.out, {1, 3, 4}, 2), 11),
                   Random({6, 4 / groups, 3, 2}, 12), Random({4}, 13)},
                  {0, 1, 2}, [n](const std::vector<Doubles>& v) {
                    return n.Transposed(v);
                  });
        }
      }
    }
  }
}

TEST(ConvTransposeTest, SameMultipliesTheSize) {
  op::ConvTranspose2D params;
  params.set_filters(2);
  params.add_kernel(3);
  params.add_stride(2);
  params.set_padding(op::SAME);
  params.set_bias(false);
  auto y = RunOp(params, {Random({1, 3, 4, 5}, 14), Random({3, 2, 3, 3}, 15)});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ(y->outputs[0].type.shape, Shape({1, 2, 8, 10}));
}

TensorType Batched(std::vector<int64_t> dims) {
  return {DType::kFloat, Shape(std::move(dims))};
}

TEST(ConvTest, ErrorsNameTheRuleAndTheMend) {
  op::Conv2D params;
  params.set_filters(4);
  params.add_kernel(3);
  EXPECT_EQ(InferError(params, {Batched({-1, 784})}),
            "the input must be [B, channels, H, W], but is [B, 784]");
  EXPECT_EQ(InferError(params, {Batched({-1, 3, 2, 8})}),
            "a window reaches over 3, but the input has only 2 along a "
            "dimension, 0 of them padding; use a smaller kernel, more pad, or "
            "padding: SAME");
  params.set_groups(2);
  EXPECT_EQ(InferError(params, {Batched({-1, 3, 8, 8})}),
            "the input's number of channels is 3, which 2 groups don't divide; "
            "make it a multiple, or groups a divisor");
  params.set_filters(5);
  EXPECT_EQ(InferError(params, {Batched({-1, 4, 8, 8})}),
            "filters is 5, which 2 groups don't divide; make it a multiple, or "
            "groups a divisor");
  params.set_filters(0);
  EXPECT_EQ(InferError(params, {Batched({-1, 4, 8, 8})}),
            "filters is 0; it must be 1 to 16777216");
  params.set_filters(4);
  params.set_groups(1);
  params.mutable_weight_init()->mutable_orthogonal();
  EXPECT_EQ(InferError(params, {Batched({-1, 4, 8, 8})}),
            "weight_init is orthogonal, which is for matrices; use he, xavier "
            "or gaussian");
}

TEST(ConvTest, HugeSizesAreRefusedNotMultiplied) {
  op::Conv2D params;
  params.set_filters(1 << 24);
  params.add_kernel(1 << 20);
  params.set_padding(op::SAME);
  EXPECT_NE(InferError(params, {Batched({-1, 1 << 20, 1 << 20, 1 << 20})}), "");
  op::ConvTranspose2D transposed;
  transposed.set_filters(1);
  transposed.add_kernel(3);
  transposed.add_stride(1 << 22);
  EXPECT_EQ(InferError(transposed, {Batched({-1, 1, 8, 8})}),
            "the output would be 29360131 long along a dimension; it must be 1 "
            "to 16777216");
  transposed.set_stride(0, 2);
  transposed.add_output_pad(2);
  EXPECT_EQ(InferError(transposed, {Batched({-1, 1, 8, 8})}),
            "output_pad is 2; it must be less than stride, 2, and 0 with "
            "padding: SAME");
}

}  // namespace
}  // namespace tamer
