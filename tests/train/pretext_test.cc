// Whole runs that pretrain a trunk by a pretext task and fine-tune it: what of
// it becomes the product, and that interrupted ones end in the same bytes.

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/checkpoint.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

constexpr char kBlock[] = R"(
block {
  name: "transformer"
  input: "in"
  node { name: "norm" input: "in" op { [op/LayerNorm] {} } }
  node { name: "qkv" input: "norm" op { [op/Dense] { units: 24 } } }
  node { name: "attention" input: "qkv" op { [op/Attention] { heads: 2 CAUSAL } } }
  node { name: "out" input: "in" input: "attention" op { [op/Add] {} } }
  output: "out"
}
)";

constexpr char kVision[] = R"(
name: "vision"
input { name: "pixels" shape: [1, 6, 6] }
node { name: "patches" input: "pixels" op { [op/Patchify] { patch: 2 } } }
node { name: "embed" input: "patches" op { [op/Dense] { units: 8 } } }
node { name: "placed" input: "embed" op { [op/PositionEmbedding] {} } }
node { name: "enc" input: "placed" block: "transformer" repeat: 2 }
node { name: "mean" input: "enc" op { [op/Reduce] { kind: MEAN axis: 1 } } }
node { name: "logits" input: "mean" op { [op/Dense] { units: 3 } } }
output: "logits"
)";

constexpr char kLanguage[] = R"(
name: "language"
input { name: "tokens" shape: [12] type: INT32 }
node { name: "embed" input: "tokens" op { [op/Embedding] { vocabulary: 257 width: 8 } } }
node { name: "placed" input: "embed" op { [op/PositionEmbedding] {} } }
node { name: "enc" input: "placed" block: "transformer" repeat: 2 }
node { name: "mean" input: "enc" op { [op/Reduce] { kind: MEAN axis: 1 } } }
node { name: "logits" input: "mean" op { [op/Dense] { units: 2 } } }
output: "logits"
)";

constexpr char kImages[] = R"(data {
  train { idx { images: "train-images" labels: "train-labels" } }
  test { idx { images: "test-images" labels: "test-labels" } }
})";

std::string Block(const char* causal) {
  std::string block = kBlock;
  block.replace(block.find("CAUSAL"), 6, causal);
  return block;
}

class PretextTest : public TrainTest {
 protected:
  // A stage of pretraining by `method`, one of fine-tuning by `more`.
  void Recipe(const std::string& data, const std::string& node,
              const std::string& method, const std::string& more = "") {
    Write(
        "recipe.pbtxt",
        absl::StrCat(R"(name: "run" graph_file: "network.pbtxt" )", data,
                     R"( stage { name: "trunk" pretrain { layer { node: ")",
                     node, "\" ", method, R"( } epochs: 2 }
             solver { adamw { learning_rate: 0.003 } } }
           stage { name: "labels" finetune {
             loss { [op/SoftmaxCrossEntropy] {} } epochs: 6 )",
                     more, R"( } solver { adam { learning_rate: 0.01 } } })"));
  }
  double Metric(const std::string& stage, const std::string& name) {
    const ProductInfo info = ProductOf("run", stage);
    for (const MetricDef& metric : info.manifest.metric()) {
      if (metric.name() == name) return metric.value();
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
  }
  std::string Tensors(const std::string& run, const std::string& stage) {
    return ReadAll(ProductOf(run, stage).path + "/tensors.safetensors");
  }
  // Trains at once, and again with interruptions, to the same bytes.
  void TrainTwice() {
    Observer quiet;
    auto result = TrainIn("run", &quiet);
    ASSERT_TRUE(result.ok()) << result.status();
    for (int times = 0; times < 40; ++times) {
      Stopper stopper(31);
      result = TrainIn("cut", &stopper);
      ASSERT_TRUE(result.ok()) << result.status();
      if (result->finished) break;
    }
    EXPECT_TRUE(result->finished);
    // Adapters' manifests name the folder of their base, so not all bytes.
    for (const char* stage : {"trunk", "labels"}) {
      EXPECT_TRUE(Tensors("run", stage) == Tensors("cut", stage)) << stage;
    }
  }
  // No variable but the network's own.
  void ExpectClean(const std::string& stage) {
    const auto product = LoadProduct(ProductOf("run", stage));
    ASSERT_TRUE(product.ok()) << product.status();
    EXPECT_GT(product->tensors.size(), 6u);
    for (const auto& entry : product->tensors) {
      EXPECT_FALSE(absl::StartsWith(entry.first, "pretext/")) << entry.first;
      EXPECT_FALSE(absl::StartsWith(entry.first, "logits/")) << entry.first;
    }
  }
};

TEST_F(PretextTest, AMaskedAutoencoderIsPretrainedAndFineTuned) {
  Write("network.pbtxt", Block("") + kVision);
  Recipe(kImages, "enc.1/out",
         "masked_patches { tokens: 'placed' decoder_width: 8 decoder_heads: 2 "
         "}",
         "adapters { rank: 2 node: '*/qkv' }");
  TrainTwice();
  ExpectClean("trunk");
  EXPECT_GT(Metric("labels", "test_accuracy"), 0.6);  // chance is 0.33
  // Read as it lies; opened as a product, adapters are merged.
  const std::string file =
      ReadAll(ProductOf("run", "labels").path + "/tensors.safetensors");
  EXPECT_TRUE(absl::StrContains(file, "\"enc.1/qkv/lora_a\""));
  EXPECT_FALSE(absl::StrContains(file, "\"enc.1/qkv/weight\""));
}

TEST_F(PretextTest, ATrunkLearnsByContrast) {
  Write("network.pbtxt", Block("") + kVision);
  Recipe(kImages, "mean",
         "contrastive { projection: 8 view { [op/RandomView] { shift: 1 "
         "noise: 0.1 } } }",
         "unfreeze_every: 1");
  TrainTwice();
  ExpectClean("trunk");
  EXPECT_GT(Metric("labels", "test_accuracy"), 0.6);
}

// Words of two made languages, one of vowels first, one of consonants.
std::string Words(int count, int language) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const auto pick = [&](const char* letters, int n, int at) {
      return letters[RandomBelow(StreamKey(language, "words"), at, i, n)];
    };
    for (int at = 0; at < 3; ++at) {
      const char vowel = pick("aeiou", 5, 2 * at);
      const char consonant = pick("bdkmnrst", 8, 2 * at + 1);
      text += language == 0 ? std::string{vowel, consonant}
                            : std::string{consonant, vowel};
    }
    text += language == 0 ? "  " : " .";
  }
  return text;
}

TEST_F(PretextTest, ALanguageModelIsPretrainedAndFineTuned) {
  Write("network.pbtxt", Block("causal: true") + kLanguage);
  std::string table;
  for (int i = 0; i < 300; ++i) {
    const int language = i % 2;
    absl::StrAppend(&table, Words(300, language).substr(i * 8, 12), "\t",
                    language == 0 ? "first" : "second", "\n");
  }
  Write("running.txt", Words(150, 0) + Words(150, 1));
  Write("labelled.tsv", table);
  const std::string labelled =
      "data { train { text { context: 12 table { file: 'labelled.tsv' } } } "
      "test { text { context: 12 table { file: 'labelled.tsv' } } } }";
  const std::string running =
      "data { train { text { context: 12 file: 'running.txt' } } }";
  for (const char* method : {"causal { tied: true }", "masked_tokens {}"}) {
    Recipe(labelled, "enc.1/out", method);
    std::string recipe = ReadAll(Path("recipe.pbtxt"));
    const std::string stage = "stage { name: \"trunk\"";
    recipe.replace(recipe.find(stage), stage.size(), stage + " " + running);
    Write("recipe.pbtxt", recipe);
    EXPECT_EQ(
        std::system(
            absl::StrCat("rm -rf ", Path("run"), " ", Path("cut")).c_str()),
        0);
    TrainTwice();
    ExpectClean("trunk");
    EXPECT_GT(Metric("labels", "test_accuracy"), 0.8);
  }
}

}  // namespace
}  // namespace tamer
