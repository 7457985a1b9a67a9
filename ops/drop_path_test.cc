#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/drop_path.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(DropPathTest, DropsWholeSamples) {
  op::DropPath drop;
  drop.set_rate(0.25);
  const Value x = Random({4000, 2, 3}, 1, 1, 2);
  auto result = RunOp(drop, {x}, /*step=*/3);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[1].type.shape, Shape({4000, 1, 1}));
  int dropped = 0;
  for (int i = 0; i < 4000; ++i) {
    const float factor = result->outputs[1].floats[i];
    EXPECT_TRUE(factor == 0 || factor == 1 / 0.75f);
    dropped += factor == 0;
    for (int k = i * 6; k < i * 6 + 6; ++k) {
      EXPECT_EQ(result->outputs[0].floats[k], factor * x.floats[k]);
    }
  }
  EXPECT_NEAR(dropped, 1000, 150);
  auto other = RunOp(drop, {x}, /*step=*/4);
  EXPECT_NE(other->outputs[1].floats, result->outputs[1].floats);
}

TEST(DropPathTest, TheGradientGoesTheSameWay) {
  op::DropPath drop;
  drop.set_rate(0.5);
  const Value x = Random({6, 5}, 1);
  const std::vector<float> factors = RunOp(drop, {x})->outputs[1].floats;
  CheckOp(drop, {x}, {0}, [&](const std::vector<Doubles>& in) {
    Doubles y = in[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] *= factors[i / 5];
    return std::vector<Doubles>{y};
  });
  drop.set_rate(1);
  EXPECT_EQ(InferError(drop, {{DType::kFloat, Shape({-1, 4})}}),
            "rate is 1; it must be in [0, 1)");
}

}  // namespace
}  // namespace tamer
