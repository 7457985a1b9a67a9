#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/loss.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(SoftmaxCrossEntropyTest, ValueAndGradient) {
  for (float smoothing : {0.0f, 0.1f}) {
    for (int rows : {1, 6}) {
      op::SoftmaxCrossEntropy loss;
      loss.set_label_smoothing(smoothing);
      std::vector<int32_t> labels;
      for (int r = 0; r < rows; ++r) labels.push_back(r * 2 % 5);
      CheckOp(loss, {Random({rows, 5}, 1, -3, 3), Ints({rows}, labels)}, {0},
              [&](const std::vector<Doubles>& in) {
                double sum = 0;
                for (int r = 0; r < rows; ++r) {
                  double total = 0;
                  for (int c = 0; c < 5; ++c)
                    total += std::exp(in[0][r * 5 + c]);
                  for (int c = 0; c < 5; ++c) {
                    const double target =
                        (c == in[1][r] ? 1 - smoothing : 0) + smoothing / 5;
                    sum -= target * (in[0][r * 5 + c] - std::log(total));
                  }
                }
                return std::vector<Doubles>{{sum / rows}};
              });
    }
  }
}

TEST(SoftmaxCrossEntropyTest, ExtremeLogitsStayFinite) {
  auto result = RunOp(op::SoftmaxCrossEntropy(),
                      {Floats({1, 3}, {1e4, -1e4, 0}), Ints({1}, {1})});
  ASSERT_TRUE(result.ok());
  EXPECT_FLOAT_EQ(result->outputs[0].floats[0], 2e4f);
  EXPECT_FLOAT_EQ(result->outputs[1].floats[1], -1);
}

TEST(SoftmaxCrossEntropyTest, ALabelOutOfRangeIsAnError) {
  const std::vector<Value> inputs = {Random({2, 3}, 1), Ints({2}, {0, 3})};
  EXPECT_EQ(RunOp(op::SoftmaxCrossEntropy(), inputs).status().message(),
            "label 3 is out of range for 3 classes");
  EXPECT_EQ(RunOp(op::Accuracy(), inputs).status().message(),
            "label 3 is out of range for 3 classes");
}

TEST(SoftmaxCrossEntropyTest, InferErrorsShowTheShapes) {
  op::SoftmaxCrossEntropy loss;
  const TensorType labels{DType::kInt32, Shape({-1})};
  EXPECT_EQ(
      InferError(loss, {{DType::kFloat, Shape({-1, 1})}, labels}),
      "logits must be [B, classes] with at least 2 classes, but are [B, 1]");
  EXPECT_EQ(InferError(loss, {{DType::kFloat, Shape({-1, 3})},
                              {DType::kFloat, Shape({-1})}}),
            "labels must be INT32 [B], but are FLOAT [B]");
  loss.set_label_smoothing(1);
  EXPECT_EQ(InferError(loss, {{DType::kFloat, Shape({-1, 3})}, labels}),
            "label_smoothing is 1; it must be in [0, 1)");
}

TEST(SigmoidCrossEntropyTest, ValueAndGradient) {
  CheckOp(op::SigmoidCrossEntropy(),
          {Random({4, 6}, 1, -5, 5), Random({4, 6}, 2, 0, 1)}, {0},
          [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (size_t i = 0; i < in[0].size(); ++i) {
              const double s = 1 / (1 + std::exp(-in[0][i]));
              sum -= in[1][i] * std::log(s) + (1 - in[1][i]) * std::log(1 - s);
            }
            return std::vector<Doubles>{{sum / 4}};
          });
}

TEST(SigmoidCrossEntropyTest, ExtremeLogitsStayFinite) {
  auto result = RunOp(op::SigmoidCrossEntropy(),
                      {Floats({1, 2}, {1e4, -1e4}), Floats({1, 2}, {0, 0})});
  ASSERT_TRUE(result.ok());
  EXPECT_FLOAT_EQ(result->outputs[0].floats[0], 1e4f);
}

TEST(MeanSquaredErrorTest, ValueAndBothGradients) {
  CheckOp(op::MeanSquaredError(), {Random({4, 6}, 1), Random({4, 6}, 2)},
          {0, 1}, [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (size_t i = 0; i < in[0].size(); ++i) {
              sum += (in[0][i] - in[1][i]) * (in[0][i] - in[1][i]);
            }
            return std::vector<Doubles>{{sum / 24}};
          });
}

TEST(L1Test, ValueAndBothGradients) {
  CheckOp(op::L1(), {Random({4, 6}, 1), Random({4, 6}, 2)}, {0, 1},
          [](const std::vector<Doubles>& in) {
            double sum = 0;
            for (size_t i = 0; i < in[0].size(); ++i) {
              sum += std::fabs(in[0][i] - in[1][i]);
            }
            return std::vector<Doubles>{{sum / 24}};
          });
}

TEST(AccuracyTest, CountsTheKLargest) {
  const std::vector<Value> inputs = {
      Floats({3, 3}, {1, 2, 3, 3, 2, 1, 5, 5, 5}), Ints({3}, {2, 1, 0})};
  op::Accuracy accuracy;
  EXPECT_FLOAT_EQ(RunOp(accuracy, inputs)->outputs[0].floats[0], 2.0f / 3);
  accuracy.set_top_k(2);
  EXPECT_FLOAT_EQ(RunOp(accuracy, inputs)->outputs[0].floats[0], 1);
  accuracy.set_top_k(4);
  EXPECT_EQ(RunOp(accuracy, inputs).status().message(),
            "top_k is 4; it must be 1 to the number of classes");
}

}  // namespace
}  // namespace tamer
