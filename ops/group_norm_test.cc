#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// Of x [batch, channels, inner], or with channels last [batch, inner,
// channels].
Reference Grouped(int64_t batch, int64_t channels, int64_t inner,
                  int64_t groups, bool last) {
  return [=](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    const int64_t k = channels / groups;
    const auto at = [&](int64_t b, int64_t c, int64_t i) -> double& {
      return y[last ? (b * inner + i) * channels + c
                    : (b * channels + c) * inner + i];
    };
    const double n = static_cast<double>(k * inner);
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t g = 0; g < groups; ++g) {
        double mean = 0, variance = 0;
        for (int64_t e = 0; e < k * inner; ++e) {
          mean += at(b, g * k + e / inner, e % inner) / n;
        }
        for (int64_t e = 0; e < k * inner; ++e) {
          const double d = at(b, g * k + e / inner, e % inner) - mean;
          variance += d * d / n;
        }
        for (int64_t e = 0; e < k * inner; ++e) {
          const int64_t c = g * k + e / inner;
          double& v = at(b, c, e % inner);
          v = (v - mean) / std::sqrt(variance + 1e-3f) * in[1][c] + in[2][c];
        }
      }
    }
    return std::vector<Doubles>{y};
  };
}

TEST(GroupNormTest, ValuesAndGradients) {
  for (int64_t groups : {1, 2, 6}) {
    op::GroupNorm params;
    params.set_groups(groups);
    params.set_epsilon(1e-3);
    const Value scale = Random({6}, 2, 0.5, 1.5), shift = Random({6}, 3);
    CheckOp(params, {Random({3, 6, 3, 4}, 1, -1, 2), scale, shift}, {0, 1, 2},
            Grouped(3, 6, 12, groups, false));
    CheckOp(params, {Random({1, 6, 18}, 1, -1, 2), scale, shift}, {0, 1, 2},
            Grouped(1, 6, 18, groups, false));
    params.set_channels_last(true);
    CheckOp(params, {Random({3, 3, 4, 6}, 1, -1, 2), scale, shift}, {0, 1, 2},
            Grouped(3, 6, 12, groups, true));
  }
  op::GroupNorm rows;
  rows.set_groups(2);
  rows.set_epsilon(1e-3);
  CheckOp(rows, {Random({3, 6}, 4), Random({6}, 2), Random({6}, 3)}, {0, 1, 2},
          Grouped(3, 6, 1, 2, false));
}

TEST(GroupNormTest, LargeImagesOnAnyNumberOfThreads) {
  op::GroupNorm params;
  params.set_groups(4);
  params.set_epsilon(1e-3);
  const Value scale = Random({20}, 2), shift = Random({20}, 3);
  CheckOp(params, {Random({5, 20, 24, 24}, 1), scale, shift}, {},
          Grouped(5, 20, 576, 4, false));
  params.set_channels_last(true);
  CheckOp(params, {Random({5, 24, 24, 20}, 1), scale, shift}, {},
          Grouped(5, 20, 576, 4, true));
}

TEST(GroupNormTest, Errors) {
  EXPECT_EQ(InferError(op::GroupNorm(), {{DType::kFloat, Shape({-1, 20, 8})}}),
            "groups is 32; it must divide the 20 channels of [B, 20, 8]");
}

}  // namespace
}  // namespace tamer
