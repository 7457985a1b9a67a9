#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/upsample.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

op::Upsample Upsampling(op::Upsample::Mode mode, std::vector<int64_t> scale,
                        bool last = false) {
  op::Upsample params;
  params.set_mode(mode);
  for (int64_t s : scale) params.add_scale(s);
  params.set_channels_last(last);
  return params;
}

// The value at `at` between the elements of one dimension, ends going on.
double Between(double at, int64_t n, const std::function<double(int64_t)>& x) {
  at = std::min(std::max(at, 0.0), n - 1.0);
  const auto low = static_cast<int64_t>(std::floor(at));
  return x(low) + (at - low) * (x(std::min(low + 1, n - 1)) - x(low));
}

// Of x [planes, h, w, inner].
Reference Enlarged(int64_t planes, int64_t h, int64_t w, int64_t inner,
                   int64_t sy, int64_t sx, bool nearest) {
  return [=](const std::vector<Doubles>& in) {
    Doubles y;
    for (int64_t p = 0; p < planes; ++p) {
      for (int64_t oy = 0; oy < h * sy; ++oy) {
        for (int64_t ox = 0; ox < w * sx; ++ox) {
          for (int64_t c = 0; c < inner; ++c) {
            const auto at = [&](int64_t r, int64_t k) {
              return in[0][((p * h + r) * w + k) * inner + c];
            };
            y.push_back(
                nearest ? at(oy / sy, ox / sx)
                        : Between((oy + 0.5) / sy - 0.5, h, [&](int64_t r) {
                            return Between((ox + 0.5) / sx - 0.5, w,
                                           [&](int64_t k) { return at(r, k); });
                          }));
          }
        }
      }
    }
    return std::vector<Doubles>{y};
  };
}

TEST(UpsampleTest, BothModesInBothOrders) {
  for (auto mode : {op::Upsample::NEAREST, op::Upsample::BILINEAR}) {
    const bool nearest = mode == op::Upsample::NEAREST;
    CheckOp(Upsampling(mode, {2, 3}), {Random({2, 3, 4, 5}, 1)}, {0},
            Enlarged(6, 4, 5, 1, 2, 3, nearest));
    CheckOp(Upsampling(mode, {2, 3}, true), {Random({2, 4, 5, 17}, 2)}, {0},
            Enlarged(2, 4, 5, 17, 2, 3, nearest));
    CheckOp(Upsampling(mode, {}), {Random({1, 1, 1, 7}, 3)}, {0},
            Enlarged(1, 1, 7, 1, 2, 2, nearest));
    // One dimension, and a first of three that stays as it is.
    CheckOp(Upsampling(mode, {4}), {Random({2, 3, 5}, 4)}, {0},
            Enlarged(6, 1, 5, 1, 1, 4, nearest));
    CheckOp(Upsampling(mode, {1, 2, 2}), {Random({1, 2, 3, 2, 3}, 5)}, {0},
            Enlarged(6, 2, 3, 1, 2, 2, nearest));
  }
}

TEST(UpsampleTest, LargeImagesOnAnyNumberOfThreads) {
  CheckOp(Upsampling(op::Upsample::BILINEAR, {2}), {Random({5, 3, 40, 50}, 6)},
          {}, Enlarged(15, 40, 50, 1, 2, 2, false));
}

TEST(UpsampleTest, Errors) {
  const TensorType image{DType::kFloat, Shape({-1, 3, 8, 8})};
  EXPECT_EQ(InferError(Upsampling(op::Upsample::NEAREST, {0}), {image}),
            "scale is 0; it must be 1 to 16777216");
  EXPECT_EQ(InferError(Upsampling(op::Upsample::NEAREST, {1 << 23}), {image}),
            "the output would be [B, 3, 67108864, 67108864]: more than 2^38 "
            "numbers a sample");
  EXPECT_EQ(InferError(Upsampling(op::Upsample::NEAREST, {2, 2, 2}), {image}),
            "scale has 3 numbers, but the input 2 spatial dimensions; give one "
            "for all or one each");
}

}  // namespace
}  // namespace tamer
