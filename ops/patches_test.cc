#include <cmath>

#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/patches.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

// By the definition: patch (i, j) of an image holds pixel (i P + p, j P + q).
Doubles Cut(const Doubles& x, int batch, int channels, int height, int width,
            int side) {
  Doubles y;
  for (int b = 0; b < batch; ++b) {
    for (int i = 0; i < height / side; ++i) {
      for (int j = 0; j < width / side; ++j) {
        for (int p = 0; p < side; ++p) {
          for (int q = 0; q < side; ++q) {
            for (int c = 0; c < channels; ++c) {
              y.push_back(
                  x[((b * channels + c) * height + i * side + p) * width +
                    j * side + q]);
            }
          }
        }
      }
    }
  }
  return y;
}

TEST(PatchifyTest, ValuesAndGradients) {
  for (int batch : {1, 5}) {
    op::Patchify cut;
    cut.set_patch(2);
    CheckOp(cut, {Random({batch, 3, 4, 6}, 1)}, {0},
            [&](const std::vector<Doubles>& in) {
              return std::vector<Doubles>{Cut(in[0], batch, 3, 4, 6, 2)};
            });
  }
}

TEST(PatchifyTest, WholeImagesAndSinglePixelsArePatchesToo) {
  for (int side : {1, 28}) {
    op::Patchify cut;
    cut.set_patch(side);
    CheckOp(cut, {Random({33, 1, 28, 28}, 2)}, {},
            [&](const std::vector<Doubles>& in) {
              return std::vector<Doubles>{Cut(in[0], 33, 1, 28, 28, side)};
            });
  }
}

TEST(PatchifyTest, UnpatchifyIsTheInverse) {
  op::Patchify cut;
  cut.set_patch(3);
  const Value x = Random({4, 2, 6, 9}, 3);
  auto patches = RunOp(cut, {x});
  ASSERT_TRUE(patches.ok()) << patches.status();
  op::Unpatchify back;
  back.set_patch(3);
  back.set_channels(2);
  back.set_height(6);
  back.set_width(9);
  auto images = RunOp(back, {patches->outputs[0]});
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ(images->outputs[0].floats, x.floats);
  EXPECT_EQ(images->outputs[0].type.shape, x.type.shape);
  CheckOp(back, {patches->outputs[0]}, {0},
          [&](const std::vector<Doubles>& in) {
            Doubles y(in[0].size());
            Doubles places(y.size());
            for (size_t i = 0; i < y.size(); ++i) places[i] = i;
            places = Cut(places, 4, 2, 6, 9, 3);
            for (size_t i = 0; i < y.size(); ++i) y[places[i]] = in[0][i];
            return std::vector<Doubles>{y};
          });
}

TEST(PatchifyTest, FaultsAreNamed) {
  op::Patchify cut;
  EXPECT_EQ(InferError(cut, {{DType::kFloat, Shape({-1, 1, 28, 30})}}),
            "patches of 4 x 4 don't cut images of 28 x 30 evenly; patch must "
            "divide both");
  EXPECT_EQ(InferError(cut, {{DType::kFloat, Shape({-1, 784})}}),
            "images must be [B, channels, height, width], not [B, 784]");
  cut.set_patch(0);
  EXPECT_EQ(InferError(cut, {{DType::kFloat, Shape({-1, 1, 28, 28})}}),
            "patch is 0; it must be at least 1");
  op::Unpatchify back;
  back.set_height(8);
  back.set_width(8);
  EXPECT_EQ(InferError(back, {{DType::kFloat, Shape({-1, 4, 15})}}),
            "patches must be [B, 4, 16] for these images, not [B, 4, 15]");
  back.set_width(0);
  EXPECT_EQ(InferError(back, {{DType::kFloat, Shape({-1, 4, 16})}}),
            "channels, height and width are 1, 8 and 0; they must be 1 to "
            "1048576");
}

TEST(NormalizeTokensTest, EachVectorGetsMeanZeroAndVarianceOne) {
  op::NormalizeTokens normalize;
  CheckOp(normalize, {Random({3, 7, 19}, 4, -2, 5)}, {},
          [](const std::vector<Doubles>& in) {
            Doubles y = in[0];
            for (size_t r = 0; r < y.size(); r += 19) {
              double mean = 0, variance = 0;
              for (int i = 0; i < 19; ++i) mean += y[r + i] / 19;
              for (int i = 0; i < 19; ++i) {
                variance += (y[r + i] - mean) * (y[r + i] - mean) / 19;
              }
              for (int i = 0; i < 19; ++i) {
                y[r + i] = (y[r + i] - mean) / std::sqrt(variance + 1e-6);
              }
            }
            return std::vector<Doubles>{y};
          });
}

TEST(NormalizeTokensTest, AFlatPatchBecomesZero) {
  auto result = RunOp(op::NormalizeTokens(), {Floats({1, 1, 3}, {5, 5, 5})});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outputs[0].floats, (std::vector<float>{0, 0, 0}));
  op::NormalizeTokens none;
  none.set_epsilon(0);
  EXPECT_EQ(InferError(none, {{DType::kFloat, Shape({-1, 4, 15})}}),
            "epsilon is 0; it must be above 0");
}

}  // namespace
}  // namespace tamer
