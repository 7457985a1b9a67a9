// Whole runs on pictures from folders and on pictures changed at random.

#include <png.h>
#include <sys/stat.h>

#include "core/train/evaluate.h"
#include "gmock/gmock.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class InputTest : public TrainTest {
 protected:
  // Noise whose third told by the class is bright, as PNG files.
  void WriteFolder(const std::string& folder,
                   const std::vector<std::string>& classes, int each) {
    mkdir(Path(folder).c_str(), 0777);
    for (const std::string& name : classes) {
      mkdir(Path(folder + "/" + name).c_str(), 0777);
      const int bright = name == "ant" ? 0 : name == "bee" ? 1 : 2;
      const uint64_t key = StreamKey(2, folder + name);
      for (int i = 0; i < each; ++i) {
        std::vector<uint8_t> pixels;
        for (int p = 0; p < 36; ++p) {
          pixels.push_back(static_cast<uint8_t>(RandomBelow(key, i, p, 100) +
                                                (p / 12 == bright ? 120 : 0)));
        }
        WritePng(folder + "/" + name + "/" + std::to_string(i) + ".png",
                 pixels);
      }
    }
  }
  void WritePng(const std::string& name, const std::vector<uint8_t>& pixels) {
    png_image image = {};
    image.version = PNG_IMAGE_VERSION;
    image.height = image.width = 6;
    image.format = PNG_FORMAT_GRAY;
    ASSERT_NE(png_image_write_to_file(&image, Path(name).c_str(), 0,
                                      pixels.data(), 0, nullptr),
              0);
  }
  void ReplaceInRecipe(const std::string& from, const std::string& to) {
    std::string text = ReadAll(Path("recipe.pbtxt"));
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    Write("recipe.pbtxt", text.replace(at, from.size(), to));
  }
};

TEST_F(InputTest, ClassesOfFoldersGoByNameInTestDataAndProduct) {
  WriteFolder("pictures", {"ant", "bee", "cow"}, 60);
  WriteFolder("others", {"bee", "cow"}, 20);
  ReplaceInRecipe(
      "idx { images: \"train-images\" labels: \"train-labels\" }",
      "images { folder: \"pictures\" height: 6 width: 6 channels: 1 }");
  ReplaceInRecipe(
      "idx { images: \"test-images\" labels: \"test-labels\" }",
      "images { folder: \"others\" height: 6 width: 6 channels: 1 }");
  Observer quiet;
  const auto result = TrainIn("run", &quiet);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto product = OpenProduct(Path("run"), registry_);
  ASSERT_TRUE(product.ok()) << product.status();
  EXPECT_THAT((*product)->manifest.class_name(),
              ElementsAre("ant", "bee", "cow"));
  // The test data's first class is the second here.
  const auto recipe = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
  const auto data = LoadData(*recipe);
  ASSERT_TRUE(data.ok()) << data.status();
  Scheduler scheduler{ThreadOptions()};
  const auto evaluation = EvaluateOn(
      (*product)->network, *(*product)->finetune(), *data->test,
      (*product)->ScalingFor(*data->test), &(*product)->variables, &scheduler);
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_GT(evaluation->metric_value, 0.9);
  WriteFolder("others", {"dog"}, 1);
  EXPECT_THAT(std::string(LoadData(*recipe).status().message()),
              HasSubstr("the training data has no class \"dog\""));
}

TEST_F(InputTest, ChangedPicturesTrainTheSameThoughInterrupted) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("plain", &quiet).ok());
  for (const char* augment : {"augment { crop { padding: 1 } }",
                              "augment { shift { pixels: 1 } "
                              "rotate { degrees: 5 } erase {} }",
                              "augment { mixup { alpha: 1 } }"}) {
    ReplaceInRecipe("validation_share: 0.2",
                    std::string("validation_share: 0.2 ") + augment);
    const std::string name(1, augment[10]);
    const auto whole = TrainIn("whole" + name, &quiet);
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_NE(Products("whole" + name), Products("plain"));
    for (int i = 0; i < 100; ++i) {
      Stopper stopper(19);
      const auto result = TrainIn("cut" + name, &stopper);
      ASSERT_TRUE(result.ok()) << result.status();
      if (result->finished) break;
    }
    EXPECT_TRUE(Products("whole" + name) == Products("cut" + name));
    EXPECT_EQ(Metrics("whole" + name), Metrics("cut" + name));
    ASSERT_TRUE(TrainIn("threads" + name, &quiet, {"threads.intra_op=3"}).ok());
    EXPECT_TRUE(Products("whole" + name) == Products("threads" + name));
    ReplaceInRecipe(augment, "");
  }
  ReplaceInRecipe("validation_share: 0.2",
                  "validation_share: 0.2 augment { rotate { degrees: -1 } }");
  EXPECT_THAT(std::string(TrainIn("bad", &quiet).status().message()),
              HasSubstr("recipe.pbtxt: data: augment: rotate.degrees is -1"));
  ReplaceInRecipe("rotate { degrees: -1 }", "mixup {}");
  ReplaceInRecipe("op/SoftmaxCrossEntropy", "op/BatchHardTriplet");
  EXPECT_THAT(std::string(TrainIn("bad", &quiet).status().message()),
              HasSubstr("finetune: with augment: mixup"));
}

}  // namespace
}  // namespace tamer
