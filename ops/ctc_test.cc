#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/ctc.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// What a way through the frames spells.
std::vector<int> Spelled(const std::vector<int>& way, int blank) {
  std::vector<int> labels;
  for (size_t t = 0; t < way.size(); ++t) {
    if (way[t] != blank && (t == 0 || way[t] != way[t - 1])) {
      labels.push_back(way[t]);
    }
  }
  return labels;
}

// Adds up the probabilities of all ways, one by one.
double LogProbability(const double* x, int frames, int classes, int blank,
                      const std::vector<int>& labels) {
  std::vector<int> way(frames, 0);
  double sum = 0;
  int64_t ways = 1;
  for (int t = 0; t < frames; ++t) ways *= classes;
  for (int64_t w = 0; w < ways; ++w) {
    int64_t rest = w;
    double log_probability = 0;
    for (int t = 0; t < frames; ++t) {
      way[t] = static_cast<int>(rest % classes);
      rest /= classes;
      double total = 0;
      for (int c = 0; c < classes; ++c) total += std::exp(x[t * classes + c]);
      log_probability += x[t * classes + way[t]] - std::log(total);
    }
    if (Spelled(way, blank) == labels) sum += std::exp(log_probability);
  }
  return std::log(sum);
}

Reference AllWays(int classes, int blank) {
  return [=](const std::vector<Doubles>& in) {
    const int frames = 4, longest = 3;
    const int batch = static_cast<int>(in[1].size()) / longest;
    double sum = 0;
    for (int b = 0; b < batch; ++b) {
      std::vector<int> labels;
      for (int i = 0; i < longest && in[1][b * longest + i] >= 0; ++i) {
        labels.push_back(static_cast<int>(in[1][b * longest + i]));
      }
      const int used = in.size() > 2 ? static_cast<int>(in[2][b]) : frames;
      const double log_probability = LogProbability(
          &in[0][b * frames * classes], used, classes, blank, labels);
      if (std::isfinite(log_probability)) sum -= log_probability;
    }
    return std::vector<Doubles>{{sum / batch}};
  };
}

TEST(CtcTest, ValueAndGradient) {
  // Repeated labels, none, and too many for their frames.
  const Value labels =
      Ints({5, 3}, {0, 1, -1, 1, 1, -1, -1, -1, -1, 0, 1, 0, 1, 1, 1});
  CheckOp(op::Ctc(), {Random({5, 4, 3}, 1, -2, 2), labels}, {0}, AllWays(3, 2));
  CheckOp(op::Ctc(),
          {Random({5, 4, 3}, 2, -2, 2), labels, Ints({5}, {2, 4, 3, 3, 4})},
          {0}, AllWays(3, 2));
  op::Ctc first;
  first.set_blank(0);
  CheckOp(first, {Random({1, 4, 4}, 3, -2, 2), Ints({1, 3}, {3, 1, 2})}, {0},
          AllWays(4, 0));
}

TEST(CtcTest, LongSequencesStayFinite) {
  std::vector<int32_t> labels(2 * 150);
  for (int i = 0; i < 300; ++i) labels[i] = i % 7;
  auto result = RunOp(
      op::Ctc(), {Random({2, 400, 30}, 1, -20, 20), Ints({2, 150}, labels)});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->outputs[0].floats[0], 1000);
  // A softmax less shares of 1: each frame's gradient adds up to 0.
  for (int row = 0; row < 800; ++row) {
    double sum = 0;
    for (int c = 0; c < 30; ++c) sum += result->outputs[1].floats[row * 30 + c];
    EXPECT_NEAR(sum, 0, 1e-5);
  }
}

TEST(CtcTest, ErrorsShowWhatWasSeen) {
  const TensorType logits = {DType::kFloat, Shape({-1, 4, 3})};
  EXPECT_EQ(InferError(op::Ctc(), {{DType::kFloat, Shape({-1, 3})}, logits}),
            "logits must be [B, T, classes], but are [B, 3]");
  EXPECT_EQ(InferError(op::Ctc(), {logits, {DType::kInt32, Shape({-1})}}),
            "labels must be INT32 [B, L], as many samples as logits [B, 4, 3], "
            "but are INT32 [B]");
  const auto run = [](std::vector<int32_t> labels) {
    return std::string(
        RunOp(op::Ctc(), {Random({1, 4, 3}, 1), Ints({1, 3}, labels)})
            .status()
            .message());
  };
  EXPECT_EQ(run({0, 2, -1}),
            "label 2 is out of range for 3 classes, the blank being 2; or it "
            "stands after a -1");
  EXPECT_NE(run({0, -1, 1}), "");
  EXPECT_EQ(run({0, 1, -1}), "");
}

TEST(CtcErrorRateTest, CountsEdits) {
  // Spells 0 1 (blank 2): one label is missing of three.
  const Value logits = Floats({1, 4, 3}, {9, 0, 0, 9, 0, 0, 0, 0, 9, 0, 9, 0});
  const auto rate = [&](std::vector<int32_t> labels) {
    return RunOp(op::CtcErrorRate(), {logits, Ints({1, 3}, labels)})
        ->outputs[0]
        .floats[0];
  };
  EXPECT_FLOAT_EQ(rate({0, 1, 0}), 1.0f / 3);
  EXPECT_FLOAT_EQ(rate({0, 1, -1}), 0);
  EXPECT_FLOAT_EQ(rate({1, 0, -1}), 1);
  EXPECT_FLOAT_EQ(rate({1, -1, -1}), 1);
}

}  // namespace
}  // namespace tamer
