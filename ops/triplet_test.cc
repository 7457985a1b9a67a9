#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/triplet.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

double Distance(const double* a, const double* b, int width, double epsilon) {
  double sum = 0;
  for (int i = 0; i < width; ++i) {
    sum += (a[i] - b[i] + epsilon) * (a[i] - b[i] + epsilon);
  }
  return std::sqrt(sum);
}

TEST(TripletMarginTest, ValueAndGradients) {
  for (int rows : {1, 6}) {
    for (float margin : {0.3f, 2.0f}) {
      op::TripletMargin loss;
      loss.set_margin(margin);
      CheckOp(
          loss,
          {Random({rows, 5}, 1), Random({rows, 5}, 2), Random({rows, 5}, 3)},
          {0, 1, 2}, [=](const std::vector<Doubles>& in) {
            double sum = 0;
            for (int r = 0; r < rows; ++r) {
              const double* a = &in[0][r * 5];
              sum += std::max(0.0, Distance(a, &in[1][r * 5], 5, 1e-6) -
                                       Distance(a, &in[2][r * 5], 5, 1e-6) +
                                       margin);
            }
            return std::vector<Doubles>{{sum / rows}};
          });
    }
  }
}

TEST(TripletMarginTest, ErrorsShowWhatWasSeen) {
  const TensorType x = {DType::kFloat, Shape({-1, 4})};
  EXPECT_EQ(InferError(op::TripletMargin(), {x, x}),
            "takes 3 inputs (anchors, positives, negatives), not 2");
  op::TripletMargin loss;
  loss.set_margin(-1);
  EXPECT_EQ(InferError(loss, {x, x, x}), "margin is -1; it must be above 0");
}

Doubles BatchHard(const std::vector<Doubles>& in, int width, double margin) {
  const int n = static_cast<int>(in[1].size());
  double sum = 0;
  int anchors = 0;
  for (int a = 0; a < n; ++a) {
    double farthest = -1, nearest = 1e30;
    for (int b = 0; b < n; ++b) {
      if (a == b) continue;
      const double d = Distance(&in[0][a * width], &in[0][b * width], width, 0);
      if (in[1][a] == in[1][b]) farthest = std::max(farthest, d);
      if (in[1][a] != in[1][b]) nearest = std::min(nearest, d);
    }
    if (farthest < 0 || nearest == 1e30) continue;
    ++anchors;
    sum += std::max(0.0, farthest - nearest + margin);
  }
  return {anchors == 0 ? 0 : sum / anchors};
}

TEST(BatchHardTripletTest, ValueAndGradient) {
  // Samples of one label alone, or without another of it, are no anchors.
  for (const std::vector<int32_t>& labels : std::vector<std::vector<int32_t>>{
           {0}, {1, 1, 1}, {0, 1, 0, 2, 1, 0, 3}}) {
    const auto n = static_cast<int64_t>(labels.size());
    op::BatchHardTriplet loss;
    loss.set_margin(0.5);
    CheckOp(loss, {Random({n, 6}, 4), Ints({n}, labels)}, {0},
            [](const std::vector<Doubles>& in) {
              return std::vector<Doubles>{BatchHard(in, 6, 0.5)};
            });
  }
}

TEST(BatchHardTripletTest, ErrorsShowWhatWasSeen) {
  EXPECT_EQ(
      InferError(op::BatchHardTriplet(), {{DType::kFloat, Shape({-1, 4})},
                                          {DType::kInt32, Shape({-1, 4})}}),
      "labels must be INT32 [B], but are INT32 [B, 4]");
}

}  // namespace
}  // namespace tamer
