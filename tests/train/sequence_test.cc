// Training on sequences of unequal length, in buckets.

#include "core/data/write.h"
#include "gmock/gmock.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;

constexpr char kSequenceNetwork[] = R"(
name: "lines"
input { name: "text" shape: [40] type: INT32 }
node { name: "words" input: "text" op { [op/Embedding] { vocabulary: 256 width: 8 } } }
node { name: "mean" input: "words" op { [op/GlobalAveragePool] { channels_last: true } } }
node { name: "logits" input: "mean" op { [op/Dense] { units: 2 } } }
output: "logits"
)";

constexpr char kSequenceRecipe[] = R"(
name: "lines"
graph_file: "network.pbtxt"
data {
  train { text {
    context: 40
    class { name: "vowels" file: "vowels.txt" }
    class { name: "others" file: "others.txt" }
  } }
  validation_share: 0.2
  buckets: 4
}
stage {
  name: "told"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 }
  solver { adam { learning_rate: 0.01 } }
}
)";

class SequenceTest : public TrainTest {
 protected:
  SequenceTest() {
    WriteLines("vowels.txt", "aeiou");
    WriteLines("others.txt", "bcdfg");
    Write("network.pbtxt", kSequenceNetwork);
    Write("recipe.pbtxt", kSequenceRecipe);
  }
  void WriteLines(const std::string& name, const std::string& letters) {
    std::string text;
    for (int i = 0; i < 120; ++i) {
      const uint64_t length = 1 + RandomBelow(7, 0, i, 40);
      for (uint64_t k = 0; k < length; ++k) {
        text += letters[RandomBelow(8, i, k, letters.size())];
      }
      text += '\n';
    }
    Write(name, text);
  }
};

TEST_F(SequenceTest, BucketsLearnAndResumeToTheSameBytes) {
  Observer quiet;
  const auto whole = TrainIn("whole", &quiet);
  ASSERT_TRUE(whole.ok()) << whole.status();
  double accuracy = 0;
  const auto line =
      nlohmann::json::parse(Metrics("whole")[3]);  // of the last epoch
  accuracy = line["validation_accuracy"];
  EXPECT_GT(accuracy, 0.95);
  for (int i = 0; i < 100; ++i) {
    Stopper stopper(7);
    const auto result = TrainIn("cut", &stopper);
    ASSERT_TRUE(result.ok()) << result.status();
    if (result->finished) break;
  }
  EXPECT_TRUE(Products("whole") == Products("cut"));
  EXPECT_EQ(Metrics("whole"), Metrics("cut"));
}

TEST_F(SequenceTest, BucketsNeedLengths) {
  Observer quiet;
  EXPECT_THAT(
      std::string(
          TrainIn("run", &quiet, {"data.buckets=17"}).status().message()),
      HasSubstr("data.buckets is 17; it must be 1 to 16"));
  std::string recipe = kRecipe;
  recipe.replace(recipe.find("validation_share"), 0, "buckets: 2 ");
  Write("network.pbtxt", kNetwork);
  Write("recipe.pbtxt", recipe);
  EXPECT_THAT(std::string(TrainIn("run", &quiet).status().message()),
              HasSubstr("data.buckets is 2, but the samples of"));
}

}  // namespace
}  // namespace tamer
