#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/views.pb.h"

namespace tamer {
namespace {

std::vector<float> View(const op::RandomView& view, const Value& x,
                        uint64_t step = 0) {
  auto result = RunOp(view, {x}, step);
  EXPECT_TRUE(result.ok()) << result.status();
  return result->outputs[0].floats;
}

// Rows r and columns c as the pixel's value r + 100 c: tells where it was.
Value Places(int samples, int side) {
  Value x = Random({samples, 1, side, side}, 1);
  for (size_t i = 0; i < x.floats.size(); ++i) {
    const int pixel = static_cast<int>(i) % (side * side);
    x.floats[i] = static_cast<float>(pixel / side + 100 * (pixel % side));
  }
  return x;
}

TEST(RandomViewTest, WithNothingToChangeAViewIsACopy) {
  const Value x = Random({5, 2, 6, 7}, 2);
  EXPECT_EQ(View(op::RandomView(), x), x.floats);
}

TEST(RandomViewTest, FlipsMirrorAboutAsManyAsAsked) {
  op::RandomView view;
  view.set_flip(0.25f);
  const Value x = Places(2000, 5);
  const std::vector<float> y = View(view, x);
  int flipped = 0;
  for (int s = 0; s < 2000; ++s) {
    const float first = y[s * 25];
    ASSERT_TRUE(first == 0 || first == 400) << first;
    flipped += first == 400;
    for (int i = 0; i < 25; ++i) {
      const int column = first == 0 ? i % 5 : 4 - i % 5;
      ASSERT_EQ(y[s * 25 + i], i / 5 + 100 * column);
    }
  }
  EXPECT_NEAR(flipped / 2000.0, 0.25, 0.04);
}

TEST(RandomViewTest, ShiftsMoveAndFillWithZero) {
  op::RandomView view;
  view.set_shift(2);
  Value x = Places(300, 6);
  for (float& pixel : x.floats) pixel += 1;  // 0 stands for what comes in
  const std::vector<float> y = View(view, x);
  std::vector<int> seen(25, 0);
  for (int s = 0; s < 300; ++s) {
    // Pixel (3, 3) is never shifted in.
    const float at = y[s * 36 + 3 * 6 + 3] - 1;
    const int dy = 3 - static_cast<int>(at) % 100;
    const int dx = 3 - static_cast<int>(at) / 100;
    ASSERT_LE(std::abs(dy), 2);
    ASSERT_LE(std::abs(dx), 2);
    ++seen[(dy + 2) * 5 + dx + 2];
    for (int i = 0; i < 36; ++i) {
      const int r = i / 6 - dy, c = i % 6 - dx;
      const bool inside = r >= 0 && r < 6 && c >= 0 && c < 6;
      ASSERT_EQ(y[s * 36 + i], inside ? 1 + r + 100 * c : 0);
    }
  }
  EXPECT_GT(*std::min_element(seen.begin(), seen.end()), 0);
}

// A plane is resized without error by bilinear interpolation, so the slopes of
// a cropped one tell how much was kept.
TEST(RandomViewTest, CropsKeepTheShareAskedFor) {
  op::RandomView view;
  view.set_crop(0.3f);
  const int side = 16;
  const std::vector<float> y = View(view, Places(500, side));
  double least = 1, most = 0;
  for (int s = 0; s < 500; ++s) {
    const float* image = y.data() + s * side * side;
    const int middle = side / 2 * side + side / 2;
    // The difference in columns is 100 step_x, that in rows step_y.
    const double across = (image[middle + 1] - image[middle]) / 100;
    const double down = image[middle + side] - image[middle];
    EXPECT_GT(across, 0.4);
    EXPECT_LE(across, 1 + 1e-3);
    const double share = across * down;
    least = std::min(least, share);
    most = std::max(most, share);
    EXPECT_GT(share, 0.25);
    EXPECT_LE(share, 1 + 1e-3);
    EXPECT_LT(across / down, 1.0 / 3 * 4 + 0.01);
  }
  EXPECT_LT(least, 0.4);
  EXPECT_GT(most, 0.8);
}

TEST(RandomViewTest, ErasesContrastsBrightensAndAddsNoise) {
  Value x = Random({400, 1, 8, 8}, 3);
  std::fill(x.floats.begin(), x.floats.end(), 1.0f);
  op::RandomView erase;
  erase.set_erase(0.25f);
  std::vector<float> y = View(erase, x);
  for (int s = 0; s < 400; ++s) {
    EXPECT_EQ(std::count(y.begin() + s * 64, y.begin() + (s + 1) * 64, 0.0f),
              16);
  }
  op::RandomView tone;
  tone.set_contrast(0.5f);
  tone.set_brightness(0.2f);
  y = View(tone, x);
  double mean = 0;
  for (int s = 0; s < 400; ++s) {
    EXPECT_EQ(y[s * 64], y[s * 64 + 63]);
    EXPECT_GE(y[s * 64], 0.3f);
    EXPECT_LE(y[s * 64], 1.7f);
    mean += y[s * 64] / 400;
  }
  EXPECT_NEAR(mean, 1, 0.06);
  op::RandomView noise;
  noise.set_noise(0.5f);
  y = View(noise, x);
  double squares = 0;
  for (float pixel : y) squares += (pixel - 1) * (pixel - 1);
  EXPECT_NEAR(squares / static_cast<double>(y.size()), 0.25, 0.01);
}

TEST(RandomViewTest, StepsDifferAndRepeatOnAnyNumberOfThreads) {
  op::RandomView view;
  view.set_crop(0.4f);
  view.set_flip(0.5f);
  view.set_noise(0.1f);
  view.set_erase(0.1f);
  const Value x = Random({50, 81}, 4);
  const std::vector<float> y = View(view, x, 7);
  EXPECT_EQ(y, View(view, x, 7));
  EXPECT_NE(y, View(view, x, 8));
  CheckOp(view, {x}, {}, [](const std::vector<std::vector<double>>&) {
    return std::vector<std::vector<double>>();
  });
}

TEST(RandomViewTest, FaultsAreNamed) {
  op::RandomView view;
  const std::vector<TensorType> x = {{DType::kFloat, Shape({-1, 784})}};
  view.set_crop(0);
  EXPECT_EQ(InferError(view, x), "crop is 0; it must be in (0, 1]");
  view.set_crop(1);
  view.set_shift(28);
  EXPECT_EQ(InferError(view, x),
            "shift is 28; it must be at least 0 and less than the images' "
            "sides");
  view.set_shift(0);
  EXPECT_EQ(InferError(view, {{DType::kFloat, Shape({-1, 783})}}),
            "x must be images, [B, channels, height, width], [B, s, s] or "
            "[B, s * s], not [B, 783]");
}

}  // namespace
}  // namespace tamer
