#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/smooth_activation.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(PReluTest, ValueAndGradients) {
  const std::vector<std::vector<int64_t>> shapes = {
      {1, 1}, {5, 19}, {3, 4, 7}, {2, 3, 4, 5}, {40, 3, 16, 17}};
  for (const auto& shape : shapes) {
    for (bool shared : {false, true}) {
      const int64_t channels = shared ? 1 : shape[1];
      op::PRelu prelu;
      prelu.set_shared(shared);
      int64_t inner = 1;
      for (size_t i = 2; i < shape.size(); ++i) inner *= shape[i];
      if (shared) inner *= shape[1];
      // Finite differences of the large one take long.
      const bool large = shape[0] > 10;
      CheckOp(prelu,
              {Random(shape, 3, -2, 2), Random({channels}, 4, 0.1f, 0.5f)},
              large ? std::vector<int>{} : std::vector<int>{0, 1},
              [&](const std::vector<Doubles>& in) {
                Doubles y = in[0];
                for (size_t i = 0; i < y.size(); ++i) {
                  if (y[i] < 0) y[i] *= in[1][i / inner % channels];
                }
                return std::vector<Doubles>{y};
              });
    }
  }
}

TEST(PReluTest, GradientsOnAnyNumberOfThreads) {
  for (const auto& shape :
       {std::vector<int64_t>{64, 3, 20, 20}, std::vector<int64_t>{100, 3000}}) {
    const Value x = Random(shape, 1);
    CheckOp(op::PReluGradient(), {Random(shape, 2), x, Random({shape[1]}, 3)},
            {},
            [](const std::vector<Doubles>&) { return std::vector<Doubles>(); });
  }
}

TEST(PReluTest, ErrorsShowTheShape) {
  EXPECT_EQ(InferError(op::PRelu(), {{DType::kFloat, Shape({-1})}}),
            "x must be [B, channels, ...], but is [B]; or set shared");
}

}  // namespace
}  // namespace tamer
