// Training on sequences of unequal length, in buckets.

#include "core/data/write.h"
#include "gmock/gmock.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;

constexpr int kSamples = 240, kSteps = 40;

constexpr char kSequenceNetwork[] = R"(
name: "parity"
input { name: "numbers" shape: [40] type: INT32 }
node { name: "words" input: "numbers" op { [op/Embedding] { vocabulary: 16 width: 8 } } }
node { name: "logits" input: "words" op { [op/Dense] { units: 2 } } }
output: "logits"
)";

constexpr char kSequenceRecipe[] = R"(
name: "parity"
graph_file: "network.pbtxt"
data {
  train { npy { features: "x.npy" labels: "y.npy" lengths: "n.npy" tokens: true } }
  validation_share: 0.2
  buckets: 4
}
stage {
  name: "told"
  finetune { loss { [op/SequenceCrossEntropy] {} } epochs: 4 }
  solver { adam { learning_rate: 0.03 } }
}
)";

// Numbers, 1 to 40 of them, each labelled even or odd.
class SequenceTest : public TrainTest {
 protected:
  SequenceTest() {
    std::vector<float> tokens(kSamples * kSteps, -1);
    std::vector<float> labels = tokens, lengths;
    for (int i = 0; i < kSamples; ++i) {
      const uint64_t length = 1 + RandomBelow(7, 0, i, kSteps);
      lengths.push_back(static_cast<float>(length));
      for (uint64_t t = 0; t < length; ++t) {
        const uint64_t number = RandomBelow(8, i, t, 16);
        tokens[i * kSteps + t] = static_cast<float>(number);
        labels[i * kSteps + t] = static_cast<float>(number % 2);
      }
    }
    EXPECT_TRUE(WriteNpy(Path("x.npy"), tokens.data(), kSamples, kSteps).ok());
    EXPECT_TRUE(WriteNpy(Path("y.npy"), labels.data(), kSamples, kSteps).ok());
    EXPECT_TRUE(WriteNpy(Path("n.npy"), lengths.data(), kSamples, 1).ok());
    // The same length of header, for one dimension.
    std::string file = ReadAll(Path("n.npy"));
    const size_t at = file.find("(240, 1)");
    EXPECT_NE(at, std::string::npos);
    std::ofstream(Path("n.npy"), std::ios::binary)
        << file.replace(at, 8, "(240,)  ");
    Write("network.pbtxt", kSequenceNetwork);
    Write("recipe.pbtxt", kSequenceRecipe);
  }
};

TEST_F(SequenceTest, BucketsLearnAndResumeToTheSameBytes) {
  Observer quiet;
  const auto whole = TrainIn("whole", &quiet);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto line =
      nlohmann::json::parse(Metrics("whole")[3]);  // of the last epoch
  EXPECT_LT(line["validation_perplexity"].get<double>(), 1.2);  // chance is 2
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
