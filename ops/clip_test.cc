#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(ClipTest, ByValue) {
  op::ClipByValue clip;
  clip.set_limit(0.5);
  CheckOp(clip, {Random({10, 30}, 1)}, {}, [](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (double& x : y) x = std::min(0.5, std::max(-0.5, x));
    return std::vector<Doubles>{y};
  });
  clip.set_limit(0);
  EXPECT_EQ(InferError(clip, {{DType::kFloat, Shape({3})}}),
            "limit is 0; it must be above 0");
}

TEST(ClipTest, SumOfSquaresOfAll) {
  CheckOp(op::SumOfSquares(), {Random({100, 301}, 1), Random({7}, 2)}, {},
          [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (const Doubles& x : in) {
              for (double v : x) sum += v * v;
            }
            return std::vector<Doubles>{{sum}};
          });
}

TEST(ClipTest, ByNorm) {
  for (float norm : {0.5f, 2.0f}) {
    CheckOp(op::ClipByNorm(), {Random({30}, 1), Floats({}, {norm * norm})}, {},
            [&](const std::vector<Doubles>& in) {
              Doubles y = in[0];
              for (double& x : y) x *= std::min(1.0, 1.0 / norm);
              return std::vector<Doubles>{y};
            });
  }
}

}  // namespace
}  // namespace tamer
