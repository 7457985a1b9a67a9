#include <cmath>
#include <functional>
#include <limits>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/pool.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;
using Dims = std::vector<int64_t>;
// The windows along each dimension: for each output [begin, end), perhaps
// reaching out of the tensor.
using Windows = std::vector<std::vector<std::pair<int64_t, int64_t>>>;

// Calls body(window's first corner, last corner) in order.
void ForEachBox(const Windows& windows, size_t dim, Dims low, Dims high,
                const std::function<void(Dims, Dims)>& body) {
  if (dim == windows.size()) return body(low, high);
  for (const auto& range : windows[dim]) {
    Dims l = low, h = high;
    l.push_back(range.first);
    h.push_back(range.second);
    ForEachBox(windows, dim + 1, l, h, body);
  }
}

// The elements of a plane of `dims` within [low, high).
Doubles Elements(const Doubles& x, int64_t offset, const Dims& dims,
                 const Dims& low, const Dims& high) {
  std::vector<int64_t> at = {0};
  for (size_t d = 0; d < dims.size(); ++d) {
    std::vector<int64_t> next;
    for (int64_t base : at) {
      for (int64_t i = std::max<int64_t>(0, low[d]);
           i < std::min(dims[d], high[d]); ++i) {
        next.push_back(base * dims[d] + i);
      }
    }
    at = next;
  }
  Doubles elements;
  for (int64_t i : at) elements.push_back(x[offset + i]);
  return elements;
}

using Fold = std::function<double(const Doubles& elements, const Dims& low,
                                  const Dims& high)>;

double Largest(const Doubles& elements, const Dims&, const Dims&) {
  return *std::max_element(elements.begin(), elements.end());
}

double Mean(const Doubles& elements, const Dims&, const Dims&) {
  double sum = 0;
  for (double x : elements) sum += x;
  return sum / static_cast<double>(elements.size());
}

// Padding counted.
double MeanOverAll(const Doubles& elements, const Dims& low, const Dims& high) {
  double count = 1;
  for (size_t d = 0; d < low.size(); ++d) count *= high[d] - low[d];
  return Mean(elements, low, high) * elements.size() / count;
}

Reference Pooled(const Dims& dims, const Windows& windows, const Fold& fold) {
  return [=](const std::vector<Doubles>& in) {
    int64_t plane = 1;
    for (int64_t dim : dims) plane *= dim;
    Doubles y;
    for (size_t offset = 0; offset < in[0].size(); offset += plane) {
      ForEachBox(windows, 0, {}, {}, [&](const Dims& low, const Dims& high) {
        y.push_back(fold(Elements(in[0], offset, dims, low, high), low, high));
      });
    }
    return std::vector<Doubles>{y};
  };
}

std::vector<std::pair<int64_t, int64_t>> Slide(int64_t out, int64_t kernel,
                                               int64_t stride, int64_t before) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (int64_t o = 0; o < out; ++o) {
    ranges.emplace_back(o * stride - before, o * stride - before + kernel);
  }
  return ranges;
}

template <typename Params>
Params Sized(const Dims& kernel, const Dims& stride, const Dims& pad) {
  Params params;
  for (int64_t k : kernel) params.add_kernel(k);
  for (int64_t s : stride) params.add_stride(s);
  for (int64_t p : pad) params.add_pad(p);
  return params;
}

// [b, c, ...] to [b, ..., c], or back.
Value Moved(const Value& value, bool to_last) {
  const Dims& dims = value.type.shape.dims();
  const int64_t batch = dims[0], channels = to_last ? dims[1] : dims.back();
  const int64_t plane = value.type.shape.elements() / batch / channels;
  Value moved = value;
  Dims shape = {batch};
  if (!to_last) shape.push_back(channels);
  shape.insert(shape.end(), dims.begin() + (to_last ? 2 : 1),
               dims.end() - (to_last ? 0 : 1));
  if (to_last) shape.push_back(channels);
  moved.type.shape = Shape(shape);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < plane; ++i) {
        const int64_t first = (b * channels + c) * plane + i;
        const int64_t last = (b * plane + i) * channels + c;
        moved.floats[to_last ? last : first] =
            value.floats[to_last ? first : last];
      }
    }
  }
  return moved;
}

// The reference of the op with channels first, for channels last.
Reference WithLast(const Reference& reference, const Dims& x, const Dims& y) {
  return [=](const std::vector<Doubles>& in) {
    const auto move = [](const Doubles& from, const Dims& dims, bool to_last) {
      Value index;
      index.type.shape = Shape(dims);
      for (size_t i = 0; i < from.size(); ++i) index.floats.push_back(i);
      const Value moved = Moved(index, to_last);
      Doubles result;
      for (float i : moved.floats) result.push_back(from[static_cast<int>(i)]);
      return result;
    };
    Dims last = {x[0]};
    last.insert(last.end(), x.begin() + 2, x.end());
    last.push_back(x[1]);
    auto out = reference({move(in[0], last, false)});
    if (y.size() > 2) out[0] = move(out[0], y, true);
    return out;
  };
}

// Checks an op on x [b, c, ...], whose result has the spatial dimensions `out`,
// in both orders of an image.
template <typename Params>
void CheckPool(Params params, const Dims& x, const Dims& out,
               const Windows& windows, const Fold& fold) {
  Dims dims(x.begin() + 2, x.end());
  Dims y = {x[0], x[1]};
  y.insert(y.end(), out.begin(), out.end());
  const Value input = Random(x, 31, -2, 2);
  const Reference reference = Pooled(dims, windows, fold);
  CheckOp(params, {input}, {0}, reference);
  params.set_channels_last(true);
  CheckOp(params, {Moved(input, true)}, {0}, WithLast(reference, x, y));
}

TEST(MaxPoolTest, PairsOfAnyWidth) {
  for (int64_t width : {2, 5, 24, 35}) {
    const int64_t out = width / 2;
    for (int64_t channels : {2, 20}) {
      CheckPool(Sized<op::MaxPool>({2}, {}, {}), {1, channels, 5, width},
                {2, out}, {Slide(2, 2, 2, 0), Slide(out, 2, 2, 0)}, Largest);
    }
  }
}

TEST(MaxPoolTest, OneTwoAndThreeDimensions) {
  CheckPool(Sized<op::MaxPool>({3}, {2}, {1}), {2, 3, 9}, {5},
            {Slide(5, 3, 2, 1)}, Largest);
  CheckPool(Sized<op::MaxPool>({3, 2}, {2, 1}, {1, 0}), {1, 5, 7, 9}, {4, 8},
            {Slide(4, 3, 2, 1), Slide(8, 2, 1, 0)}, Largest);
  CheckPool(Sized<op::MaxPool>({2, 3, 3}, {1, 2, 3}, {0, 0, 1, 0, 2, 1}),
            {2, 2, 3, 5, 4}, {2, 2, 2},
            {Slide(2, 2, 1, 0), Slide(2, 3, 2, 1), Slide(2, 3, 3, 2)}, Largest);
}

TEST(MaxPoolTest, SamePadsTheOddElementBehind) {
  op::MaxPool params = Sized<op::MaxPool>({3}, {2}, {});
  params.set_padding(op::SAME);
  CheckPool(params, {2, 2, 6, 7}, {3, 4},
            {Slide(3, 3, 2, 0), Slide(4, 3, 2, 1)}, Largest);
}

TEST(MaxPoolTest, ManyTapsAndManyElements) {
  CheckPool(Sized<op::MaxPool>({17}, {1}, {}), {1, 2, 18, 20}, {2, 4},
            {Slide(2, 17, 1, 0), Slide(4, 17, 1, 0)}, Largest);
  CheckPool(Sized<op::MaxPool>({2}, {1}, {}), {1, 1, 2, 140}, {1, 139},
            {Slide(1, 2, 1, 0), Slide(139, 2, 1, 0)}, Largest);
  CheckPool(Sized<op::MaxPool>({2}, {1}, {}), {1, 130, 3, 2}, {2, 1},
            {Slide(2, 2, 1, 0), Slide(1, 2, 1, 0)}, Largest);
}

TEST(MaxPoolTest, EqualBitsOnLargeImages) {
  for (bool last : {false, true}) {
    op::MaxPool params = Sized<op::MaxPool>({3}, {2}, {1});
    params.set_channels_last(last);
    // The values are other tests'; here only threads are compared.
    CheckOp(params, {Random({10, 20, 24, 24}, 5)}, {},
            [](const std::vector<Doubles>&) { return std::vector<Doubles>(); });
  }
}

TEST(MaxPoolTest, NanIsTheLargestOfAPair) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (bool last : {false, true}) {
    for (int at = 0; at < 4; ++at) {
      op::MaxPool params = Sized<op::MaxPool>({2}, {}, {});
      params.set_channels_last(last);
      std::vector<float> x = {1, 1, 1, 1, 2, 2, 2, 2};
      x[last ? 2 * at + 1 : 4 + at] = nan;
      const auto result = RunOp(
          params,
          {last ? Floats({1, 2, 2, 2}, {1, x[1], 1, x[3], 1, x[5], 1, x[7]})
                : Floats({1, 2, 2, 2}, x)});
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(result->outputs[0].floats[0], 1);
      EXPECT_TRUE(std::isnan(result->outputs[0].floats[1]));
    }
  }
}

TEST(MaxPoolTest, WindowsOfMinusInfinityAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int stride : {1, 2}) {
    auto result = RunOp(Sized<op::MaxPool>({2}, {stride}, {1}),
                        {Floats({1, 1, 2, 2}, {-inf, -inf, -inf, nan})});
    ASSERT_TRUE(result.ok());
    // The corner sees one element: tap 3 of its window, not the padding's.
    EXPECT_EQ(result->outputs[0].floats[0], -inf);
    EXPECT_TRUE(std::isnan(result->outputs[0].floats.back()));
  }
  auto pairs = RunOp(Sized<op::MaxPool>({2}, {}, {}),
                     {Floats({1, 1, 2, 4}, {1, 2, nan, 1, 0, 5, 7, 1})});
  ASSERT_TRUE(pairs.ok());
  EXPECT_EQ(pairs->outputs[0].floats[0], 5);
  EXPECT_TRUE(std::isnan(pairs->outputs[0].floats[1]));
}

TEST(AveragePoolTest, ValuesAndGradients) {
  CheckPool(Sized<op::AveragePool>({2}, {}, {}), {2, 3, 6, 7}, {3, 3},
            {Slide(3, 2, 2, 0), Slide(3, 2, 2, 0)}, Mean);
  CheckPool(Sized<op::AveragePool>({3}, {2}, {1}), {2, 3, 6, 7}, {3, 4},
            {Slide(3, 3, 2, 1), Slide(4, 3, 2, 1)}, Mean);
  CheckPool(Sized<op::AveragePool>({4}, {3}, {1}), {1, 18, 9}, {3},
            {Slide(3, 4, 3, 1)}, Mean);
  CheckPool(Sized<op::AveragePool>({2}, {1}, {}), {2, 2, 3, 2, 4}, {2, 1, 3},
            {Slide(2, 2, 1, 0), Slide(1, 2, 1, 0), Slide(3, 2, 1, 0)}, Mean);
  op::AveragePool counted = Sized<op::AveragePool>({3}, {2}, {1});
  counted.set_count_include_pad(true);
  CheckPool(counted, {2, 3, 6, 7}, {3, 4},
            {Slide(3, 3, 2, 1), Slide(4, 3, 2, 1)}, MeanOverAll);
}

TEST(AveragePoolTest, Global) {
  for (const Dims& x :
       {Dims{3, 17, 5, 7}, Dims{1, 2, 9}, Dims{2, 1, 2, 3, 2}}) {
    Windows windows;
    for (size_t d = 2; d < x.size(); ++d) windows.push_back({{0, x[d]}});
    CheckPool(op::GlobalAveragePool(), x, {}, windows, Mean);
  }
}

std::vector<std::pair<int64_t, int64_t>> Fit(int64_t in, int64_t out) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (int64_t o = 0; o < out; ++o) {
    ranges.emplace_back(std::floor(1.0 * o * in / out),
                        std::ceil(1.0 * (o + 1) * in / out));
  }
  return ranges;
}

TEST(AdaptivePoolTest, ValuesAndGradients) {
  op::AdaptiveAveragePool average;
  average.add_size(3);
  average.add_size(5);
  CheckPool(average, {2, 3, 7, 12}, {3, 5}, {Fit(7, 3), Fit(12, 5)}, Mean);
  op::AdaptiveMaxPool max;
  max.add_size(4);
  CheckPool(max, {2, 3, 7, 3}, {4, 4}, {Fit(7, 4), Fit(3, 4)}, Largest);
}

TEST(PoolTest, Errors) {
  const TensorType image{DType::kFloat, Shape({-1, 3, 8, 8})};
  EXPECT_EQ(InferError(Sized<op::MaxPool>({2}, {}, {}),
                       {{DType::kFloat, Shape({-1, 8})}}),
            "the input must be [B, channels, ...] with one to three spatial "
            "dimensions, but is [B, 8]");
  EXPECT_EQ(InferError(op::MaxPool(), {image}),
            "kernel has 0 numbers, but the input 2 spatial dimensions; give "
            "one for all or one each");
  EXPECT_EQ(InferError(Sized<op::MaxPool>({0}, {}, {}), {image}),
            "kernel is 0; it must be 1 to 16777216");
  EXPECT_EQ(InferError(Sized<op::AveragePool>({2}, {}, {2}), {image}),
            "pad is 2, but a window reaches over 2; some windows would see "
            "padding alone");
  EXPECT_EQ(InferError(Sized<op::AveragePool>({10}, {}, {}), {image}),
            "a window reaches over 10, but the input has only 8 along a "
            "dimension, 0 of them padding; use a smaller kernel, more pad, or "
            "padding: SAME");
  op::MaxPool both = Sized<op::MaxPool>({2}, {}, {1});
  both.set_padding(op::SAME);
  EXPECT_EQ(InferError(both, {image}),
            "padding: SAME decides the padding itself, but pad is [1]; leave "
            "one out");
  op::AdaptiveMaxPool vast;
  vast.add_size(1 << 24);
  EXPECT_EQ(InferError(vast, {image}),
            "the output would be [B, 3, 16777216, 16777216]: more than 2^38 "
            "numbers a sample");
  EXPECT_EQ(InferError(op::PoolGradient(), {image}),
            "it must say of which pooling op it is the gradient");
}

TEST(PoolTest, PredictionNeedsNoIndices) {
  op::MaxPool params = Sized<op::MaxPool>({2}, {}, {});
  params.set_indices(false);
  auto result = RunOp(params, {Random({1, 2, 4, 4}, 1)});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs.size(), 1u);
}

}  // namespace
}  // namespace tamer
