#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/sequence_loss.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// Weighted mean over the labels that are not -1.
Reference CrossEntropy(int classes, double smoothing,
                       std::vector<float> weights) {
  return [=](const std::vector<Doubles>& in) {
    double sum = 0, count = 0;
    for (size_t r = 0; r < in[1].size(); ++r) {
      if (in[1][r] < 0) continue;
      const double weight = weights.empty() ? 1 : weights[in[1][r]];
      const double* x = &in[0][r * classes];
      double total = 0, loss = 0;
      for (int c = 0; c < classes; ++c) total += std::exp(x[c]);
      for (int c = 0; c < classes; ++c) {
        const double target =
            (c == in[1][r] ? 1 - smoothing : 0) + smoothing / classes;
        loss -= target * (x[c] - std::log(total));
      }
      sum += weight * loss;
      count += weight;
    }
    return std::vector<Doubles>{{count > 0 ? sum / count : 0}};
  };
}

TEST(SoftmaxCrossEntropyTest, ValueAndGradient) {
  for (float smoothing : {0.0f, 0.1f}) {
    for (int rows : {1, 6}) {
      op::SoftmaxCrossEntropy loss;
      loss.set_label_smoothing(smoothing);
      std::vector<int32_t> labels;
      for (int r = 0; r < rows; ++r) labels.push_back(r * 2 % 5);
      CheckOp(loss, {Random({rows, 5}, 1, -3, 3), Ints({rows}, labels)}, {0},
              CrossEntropy(5, smoothing, {}));
    }
  }
}

TEST(SoftmaxCrossEntropyTest, WeightedClasses) {
  const std::vector<float> weights = {1, 0, 2.5, 0.5};
  op::SoftmaxCrossEntropy loss;
  for (float weight : weights) loss.add_class_weight(weight);
  CheckOp(loss, {Random({5, 4}, 1, -3, 3), Ints({5}, {0, 1, 2, 3, 2})}, {0},
          CrossEntropy(4, 0, weights));
  // Nothing counts.
  auto none = RunOp(loss, {Random({2, 4}, 1), Ints({2}, {1, 1})});
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->outputs[0].floats[0], 0);
  EXPECT_EQ(none->outputs[1].floats, std::vector<float>(8, 0));
  const std::vector<TensorType> types = {{DType::kFloat, Shape({-1, 3})},
                                         {DType::kInt32, Shape({-1})}};
  EXPECT_EQ(InferError(loss, types),
            "class_weight has 4 numbers for 3 classes; give one for each, or "
            "none");
}

// Rows as often as there are classes, each labelled and weighed.
Reference SoftCrossEntropy(int classes, double smoothing,
                           std::vector<float> weights) {
  return [=](const std::vector<Doubles>& in) {
    double sum = 0, count = 0;
    for (size_t i = 0; i < in[1].size(); ++i) {
      const int c = static_cast<int>(i) % classes;
      const double* x = &in[0][i - c];
      const double weight = in[1][i] * (weights.empty() ? 1 : weights[c]);
      sum += weight * CrossEntropy(classes, smoothing, {})(
                          {Doubles(x, x + classes), {1.0 * c}})[0][0];
      count += weight;
    }
    return std::vector<Doubles>{{sum / count}};
  };
}

TEST(SoftmaxCrossEntropyTest, SharesOfClassesAsTargets) {
  for (float smoothing : {0.0f, 0.1f}) {
    for (int rows : {1, 6}) {
      op::SoftmaxCrossEntropy loss;
      loss.set_label_smoothing(smoothing);
      const std::vector<Value> in = {Random({rows, 5}, 1, -3, 3),
                                     Random({rows, 5}, 2, 0, 1)};
      CheckOp(loss, in, {0}, SoftCrossEntropy(5, smoothing, {}));
      const std::vector<float> weights = {1, 0, 2.5, 0.5, 1};
      for (float weight : weights) loss.add_class_weight(weight);
      CheckOp(loss, in, {0}, SoftCrossEntropy(5, smoothing, weights));
    }
  }
}

TEST(SoftmaxCrossEntropyTest, AWholeShareIsALabel) {
  op::SoftmaxCrossEntropy loss;
  loss.set_label_smoothing(0.1f);
  const Value logits = Random({2, 3}, 1, -3, 3);
  const auto labels = RunOp(loss, {logits, Ints({2}, {2, 0})});
  const auto shares = RunOp(loss, {logits, Floats({2, 3}, {0, 0, 1, 1, 0, 0})});
  ASSERT_TRUE(labels.ok() && shares.ok());
  EXPECT_NEAR(labels->outputs[0].floats[0], shares->outputs[0].floats[0], 1e-6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(labels->outputs[1].floats[i], shares->outputs[1].floats[i],
                1e-7);
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

TEST(AccuracyTest, PaddingIsNotCounted) {
  const Value logits = Floats({1, 3, 2}, {1, 2, 1, 2, 2, 1});
  EXPECT_FLOAT_EQ(RunOp(op::Accuracy(), {logits, Ints({1, 3}, {1, -1, 1})})
                      ->outputs[0]
                      .floats[0],
                  0.5f);
}

TEST(SequenceCrossEntropyTest, ValueAndGradient) {
  // Vocabularies beside and beyond a vector's width.
  for (int classes : {2, 17, 48}) {
    for (int batch : {1, 3}) {
      std::vector<int32_t> targets;
      for (int i = 0; i < batch * 7; ++i) {
        targets.push_back(i % 4 == 3 ? -1 : i * 5 % classes);
      }
      for (float smoothing : {0.0f, 0.2f}) {
        op::SequenceCrossEntropy loss;
        loss.set_label_smoothing(smoothing);
        CheckOp(
            loss,
            {Random({batch, 7, classes}, 1, -3, 3), Ints({batch, 7}, targets)},
            {0}, CrossEntropy(classes, smoothing, {}));
      }
    }
  }
}

TEST(SequenceCrossEntropyTest, ManyRowsOnAnyNumberOfThreads) {
  std::vector<int32_t> targets(1000);
  for (int i = 0; i < 1000; ++i) targets[i] = i % 257 - 1;
  CheckOp(op::SequenceCrossEntropy(),
          {Random({10, 100, 256}, 1, -5, 5), Ints({10, 100}, targets)}, {},
          CrossEntropy(256, 0, {}));
}

TEST(SequenceCrossEntropyTest, OnlyPadding) {
  auto result = RunOp(op::SequenceCrossEntropy(),
                      {Random({1, 2, 3}, 1), Ints({1, 2}, {-1, -1})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].floats[0], 0);
  EXPECT_EQ(result->outputs[1].floats, std::vector<float>(6, 0));
}

TEST(SequenceCrossEntropyTest, ErrorsShowWhatWasSeen) {
  const op::SequenceCrossEntropy loss;
  EXPECT_EQ(InferError(loss, {{DType::kFloat, Shape({-1, 7, 3})},
                              {DType::kInt32, Shape({-1})}}),
            "labels must be INT32 [B, 7], but are INT32 [B]");
  EXPECT_EQ(InferError(loss, {{DType::kFloat, Shape({-1})},
                              {DType::kInt32, Shape({-1})}}),
            "logits must be [B, ..., classes] with at least 2 classes, but are "
            "[B]");
  EXPECT_EQ(RunOp(loss, {Random({1, 1, 3}, 1), Ints({1, 1}, {-2})})
                .status()
                .message(),
            "label -2 is out of range for 3 classes");
}

TEST(BitsPerTokenTest, IsTheLossInBits) {
  const std::vector<Value> in = {Random({2, 3, 20}, 1, -4, 4),
                                 Ints({2, 3}, {1, -1, 5, 19, 0, -1})};
  const float nats =
      RunOp(op::SequenceCrossEntropy(), in)->outputs[0].floats[0];
  CheckOp(op::BitsPerToken(), in, {}, [&](const std::vector<Doubles>&) {
    return std::vector<Doubles>{{nats / std::log(2.0)}};
  });
}

TEST(ShiftTokensTest, TheNextTokenIsTheTarget) {
  auto result = RunOp(op::ShiftTokens(), {Ints({2, 3}, {1, 2, 3, 4, 5, -1})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].ints,
            (std::vector<int32_t>{2, 3, -1, 5, -1, -1}));
  EXPECT_EQ(InferError(op::ShiftTokens(), {{DType::kInt32, Shape({-1})}}),
            "tokens must be INT32 [B, T], but are INT32 [B]");
}

}  // namespace
}  // namespace tamer
