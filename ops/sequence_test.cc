#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/sequence.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(SequenceTest, LengthsCountTokens) {
  const auto result = RunOp(op::SequenceLength(),
                            {Ints({3, 3}, {4, 0, -1, -1, -1, -1, 7, 7, 7})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outputs[0].ints, (std::vector<int32_t>{2, 0, 3}));
  EXPECT_EQ(InferError(op::SequenceLength(), {{DType::kFloat, Shape({-1, 3})}}),
            "tokens must be INT32 [B, T], but are FLOAT [B, 3]");
}

// Weighs steps of x [batch, steps, width] by weight(step, length).
template <typename Weight>
Reference Weighted(int steps, int width, Weight weight) {
  return [=](const std::vector<Doubles>& in) {
    const int batch = in[0].size() / steps / width;
    Doubles y(batch * width, 0);
    for (int b = 0; b < batch; ++b) {
      const int length = in.size() > 1 ? in[1][b] : steps;
      for (int t = 0; t < length; ++t) {
        for (int c = 0; c < width; ++c) {
          y[b * width + c] +=
              weight(t, length) * in[0][(b * steps + t) * width + c];
        }
      }
    }
    return std::vector<Doubles>{y};
  };
}

TEST(SequenceTest, LastAndMeanStep) {
  const auto last = [](int t, int length) { return t == length - 1 ? 1 : 0; };
  const auto mean = [](int, int length) { return 1.0 / length; };
  for (int width : {1, 7, 32}) {
    const Value x = Random({4, 5, width}, 1);
    const Value lengths = Ints({4}, {5, 0, 1, 3});
    CheckOp(op::LastStep(), {x}, {0}, Weighted(5, width, last));
    CheckOp(op::LastStep(), {x, lengths}, {0}, Weighted(5, width, last));
    CheckOp(op::MeanStep(), {x}, {0}, Weighted(5, width, mean));
    CheckOp(op::MeanStep(), {x, lengths}, {0}, Weighted(5, width, mean));
  }
  CheckOp(op::MeanStep(), {Random({40, 20, 100}, 1)}, {},
          Weighted(20, 100, mean));
}

TEST(SequenceTest, MaskedStepsAreZero) {
  for (int width : {1, 6}) {
    CheckOp(op::MaskSteps(), {Random({3, 4, width}, 1), Ints({3}, {4, 0, 2})},
            {0}, [&](const std::vector<Doubles>& in) {
              Doubles y = in[0];
              for (size_t i = 0; i < y.size(); ++i) {
                if (static_cast<int>(i) / width % 4 >= in[1][i / width / 4]) {
                  y[i] = 0;
                }
              }
              return std::vector<Doubles>{y};
            });
  }
}

TEST(SequenceTest, ErrorsShowWhatWasSeen) {
  const Value x = Random({2, 3, 4}, 1);
  EXPECT_EQ(RunOp(op::LastStep(), {x, Ints({2}, {3, 4})}).status().message(),
            "the length of sample 1 is 4; it must be 0 to 3, the steps there "
            "are");
  EXPECT_EQ(RunOp(op::MaskSteps(), {x, Ints({2}, {-1, 2})}).status().message(),
            "the length of sample 0 is -1; it must be 0 to 3, the steps there "
            "are");
  EXPECT_EQ(InferError(op::MeanStep(), {{DType::kFloat, Shape({-1, 3})}}),
            "the input must be [B, T, features], but is [B, 3]");
  EXPECT_EQ(InferError(op::LastStep(), {{DType::kFloat, Shape({-1, 3, 4})},
                                        {DType::kFloat, Shape({-1})}}),
            "lengths must be INT32 [B], but are FLOAT [B]");
}

}  // namespace
}  // namespace tamer
