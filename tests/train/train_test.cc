// Whole runs on small made data: what is learned, that the same run gives the
// same bytes, and that an interrupted one ends in those bytes too.

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/random.h"
#include "core/train/checkpoint.h"
#include "core/train/evaluate.h"
#include "core/train/files.h"
#include "core/train/product.h"
#include "core/train/run_folder.h"
#include "core/train/trainer.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

constexpr int kSide = 6, kClasses = 3;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void AppendBigEndian(uint32_t value, std::string* text) {
  for (int shift : {24, 16, 8, 0})
    text->push_back(static_cast<char>(value >> shift));
}

// Images of noise in which two rows, told by the label, are bright.
void WriteData(const std::string& folder, const std::string& name, int count) {
  std::string images, labels;
  AppendBigEndian(0x803, &images);
  for (uint32_t value : {count, kSide, kSide}) AppendBigEndian(value, &images);
  AppendBigEndian(0x801, &labels);
  AppendBigEndian(count, &labels);
  const uint64_t key = StreamKey(1, name);
  for (int i = 0; i < count; ++i) {
    const int label = static_cast<int>(RandomBelow(key, 0, i, kClasses));
    labels.push_back(static_cast<char>(label));
    for (int p = 0; p < kSide * kSide; ++p) {
      const bool bright = p / kSide / 2 == label;
      const uint64_t noise = RandomBelow(key, 1, i * kSide * kSide + p, 156);
      images.push_back(static_cast<char>(noise + (bright ? 99 : 0)));
    }
  }
  std::ofstream(folder + "/" + name + "-images", std::ios::binary) << images;
  std::ofstream(folder + "/" + name + "-labels", std::ios::binary) << labels;
}

constexpr char kNetwork[] = R"(
name: "small"
input { name: "pixels" shape: [36] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 20 activation: SIGMOID } } }
node { name: "h2" input: "h1" op { [op/Dense] { units: 12 activation: SIGMOID } } }
node { name: "drop" input: "h2" op { [op/Dropout] { rate: 0.1 } } }
node { name: "logits" input: "drop" op { [op/Dense] { units: 3 } } }
output: "logits"
)";

constexpr char kRecipe[] = R"(
name: "small"
graph_file: "network.pbtxt"
data {
  train { idx { images: "train-images" labels: "train-labels" } }
  test { idx { images: "test-images" labels: "test-labels" } }
  validation_share: 0.2
}
seed: 3
stage {
  name: "features"
  pretrain { layer { node: "h1" rbm {} } layer { node: "h2" rbm { cd_steps: 2 } } epochs: 2 }
  solver { sgd { learning_rate: 0.05 momentum: 0.5 } weight_decay: 0.0002 }
}
stage {
  name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 8 early_stopping { patience: 3 } }
  solver { nesterov { learning_rate: 0.05 momentum: 0.9 } schedule { cosine {} } }
}
)";

// Stops after a number of steps, counted over all phases.
class Stopper : public Observer {
 public:
  explicit Stopper(int64_t steps) : left_(steps) {}
  bool StopAsked() override { return --left_ == 0; }
  int64_t left() const { return left_; }

 private:
  int64_t left_;
};

class TrainTest : public ::testing::Test {
 protected:
  TrainTest() {
    std::string pattern = ::testing::TempDir() + "/trainXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    EXPECT_TRUE(RegisterBuiltinOps(registry_).ok());
    WriteData(folder_, "train", 333);  // 267 to train on: a last batch of 7
    WriteData(folder_, "test", 100);
    Write("network.pbtxt", kNetwork);
    Write("recipe.pbtxt", kRecipe);
  }
  ~TrainTest() override {
    const std::string command = "rm -rf " + folder_;
    EXPECT_EQ(std::system(command.c_str()), 0);
  }

  std::string Path(const std::string& name) { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
  }
  absl::StatusOr<TrainResult> TrainIn(const std::string& run,
                                      Observer* observer,
                                      std::vector<std::string> set = {}) {
    auto recipe = LoadRecipe(Path("recipe.pbtxt"), set, registry_);
    if (!recipe.ok()) return recipe.status();
    TrainOptions options;
    options.run = Path(run);
    return Train(*recipe, registry_, options, observer);
  }
  // All bytes of a run's products.
  std::string Products(const std::string& run) {
    std::string bytes;
    for (const char* stage : {"features", "labels"}) {
      for (const char* file : {"manifest.pb", "tensors.safetensors"}) {
        bytes += ReadAll(ProductPath(Path(run), stage) + "/" + file);
      }
    }
    return bytes;
  }
  // metrics.jsonl without what depends on the clock.
  std::vector<std::string> Metrics(const std::string& run) {
    std::ifstream in(Path(run) + "/metrics.jsonl");
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
      auto json = nlohmann::ordered_json::parse(line);
      json.erase("samples_per_second");
      lines.push_back(json.dump());
    }
    return lines;
  }

  std::string folder_;
  OpRegistry registry_;
};

TEST_F(TrainTest, LearnsAndTheProductCanBeUsed) {
  Observer quiet;
  const auto result = TrainIn("run", &quiet);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->finished);
  const auto product = OpenProduct(Path("run"), registry_);
  ASSERT_TRUE(product.ok()) << product.status();
  EXPECT_EQ((*product)->path, result->product);
  double accuracy = 0;
  for (const MetricDef& metric : (*product)->manifest.metric()) {
    if (metric.name() == "test_accuracy") accuracy = metric.value();
  }
  EXPECT_GT(accuracy, 0.9);  // chance is 0.33
  // Used from its files it does exactly what it did while training.
  auto recipe = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
  const auto data = LoadData(*recipe);
  Scheduler scheduler{ThreadOptions()};
  const auto evaluation = EvaluateOn(
      (*product)->network, *(*product)->finetune(), *data->test,
      (*product)->ScalingFor(*data->test), &(*product)->variables, &scheduler);
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_EQ(evaluation->metric_value, accuracy);
  // The pretrained product holds what generation will need, and is its own.
  const auto features = LoadCheckpoint(ProductPath(Path("run"), "features"));
  ASSERT_TRUE(features.ok());
  EXPECT_EQ(features->file.tensors.count("h1/visible_bias"), 1u);
  EXPECT_EQ((*product)->manifest.parent(), "features");
  EXPECT_EQ((*product)->manifest.parent_crc32(),
            features->manifest.tensors_crc32());
  // No optimizer state, no copies, no rolling checkpoints are left.
  for (const auto& entry : features->file.tensors) {
    EXPECT_EQ(entry.first.find("update/"), std::string::npos) << entry.first;
  }
  for (const std::string& name : ListFolder(Path("run"))) {
    EXPECT_EQ(name.find("rolling"), std::string::npos) << name;
  }
}

TEST_F(TrainTest, APredictorAnswersAsTheEvaluationDoes) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  auto predictor = Predictor::Open(Path("run"), registry_);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  EXPECT_EQ((*predictor)->input_width(), 36);
  EXPECT_EQ((*predictor)->output_width(), 3);
  std::vector<float> pixels(36);
  for (int p = 0; p < 36; ++p) pixels[p] = p / 12 == 1 ? 0.8f : 0.3f;
  const auto answer = (*predictor)->Predict(pixels.data(), 1);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const float* p = *answer;
  EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-5);
  EXPECT_GT(p[1], 0.8);
  EXPECT_FALSE((*predictor)->Predict(pixels.data(), 0).ok());
}

TEST_F(TrainTest, StandardizedDataIsScaledByTheProductToo) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("run", &quiet, {"data.scale=STANDARDIZE"}).ok());
  const auto product = OpenProduct(Path("run"), registry_);
  ASSERT_TRUE(product.ok()) << product.status();
  auto recipe =
      LoadRecipe(Path("recipe.pbtxt"), {"data.scale=STANDARDIZE"}, registry_);
  const auto data = LoadData(*recipe);
  const FeatureScaling scaling = (*product)->ScalingFor(*data->test);
  EXPECT_EQ(scaling.mean, data->scaling.mean);
  EXPECT_EQ(scaling.factor, data->scaling.factor);
  EXPECT_EQ(scaling.mean.size(), 36u);
}

TEST_F(TrainTest, TheSameRunGivesTheSameBytes) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("a", &quiet).ok());
  ASSERT_TRUE(TrainIn("b", &quiet).ok());
  EXPECT_EQ(Products("a"), Products("b"));
  EXPECT_EQ(Metrics("a"), Metrics("b"));
  // On other numbers of threads too, and with branches at once.
  for (const char* threads :
       {"threads.intra_op=1", "threads.intra_op=3", "threads.inter_op=2"}) {
    ASSERT_TRUE(TrainIn(threads, &quiet, {threads}).ok());
    EXPECT_TRUE(Products("a") == Products(threads)) << threads;
  }
  ASSERT_TRUE(TrainIn("c", &quiet, {"seed=4"}).ok());
  EXPECT_NE(Products("a"), Products("c"));
}

TEST_F(TrainTest, AnInterruptedRunEndsInTheSameBytes) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("whole", &quiet).ok());
  for (int64_t step : {1, 26, 27, 40, 54, 60, 108, 109, 130, 200, 300}) {
    const std::string run = "cut" + std::to_string(step);
    Stopper stopper(step);
    const auto first = TrainIn(run, &stopper);
    ASSERT_TRUE(first.ok()) << first.status();
    if (stopper.left() > 0) continue;  // the run was shorter
    EXPECT_FALSE(first->finished);
    const auto second = TrainIn(run, &quiet);
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_TRUE(second->finished);
    EXPECT_TRUE(Products("whole") == Products(run)) << "cut at step " << step;
    EXPECT_EQ(Metrics("whole"), Metrics(run)) << "cut at step " << step;
  }
}

TEST_F(TrainTest, InterruptionsEveryFewStepsToo) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("whole", &quiet).ok());
  for (int i = 0; i < 100; ++i) {
    Stopper stopper(17);
    const auto result = TrainIn("cut", &stopper);
    ASSERT_TRUE(result.ok()) << result.status();
    if (result->finished) break;
  }
  EXPECT_TRUE(Products("whole") == Products("cut"));
  EXPECT_EQ(Metrics("whole"), Metrics("cut"));
}

TEST_F(TrainTest, FineTuningLeavesThePretrainedProductAlone) {
  Observer quiet;
  Stopper stopper(27 * 4 + 1);  // in the first step of fine-tuning
  ASSERT_TRUE(TrainIn("run", &stopper).ok());
  const std::string product = ProductPath(Path("run"), "features");
  const std::string before = ReadAll(product + "/tensors.safetensors");
  ASSERT_FALSE(before.empty());
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  EXPECT_EQ(ReadAll(product + "/tensors.safetensors"), before);
}

TEST_F(TrainTest, AnotherRecipesFolderIsRefused) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  const auto other = TrainIn("run", &quiet, {"seed=9"});
  EXPECT_NE(other.status().message().find("holds a run of another recipe"),
            std::string::npos);
  // A finished run of the same recipe has nothing left to do.
  const std::string before = Products("run");
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  EXPECT_EQ(Products("run"), before);
}

TEST_F(TrainTest, ADamagedRollingCheckpointFallsBackToTheOneBefore) {
  Observer quiet;
  ASSERT_TRUE(TrainIn("whole", &quiet).ok());
  Stopper first(30), second(30);
  ASSERT_TRUE(TrainIn("run", &first).ok());
  ASSERT_TRUE(TrainIn("run", &second).ok());
  std::string newest;
  for (const std::string& name : ListFolder(Path("run"))) {
    if (name.find("rolling-") == 0) newest = name;
  }
  ASSERT_FALSE(newest.empty());
  std::ofstream(Path("run") + "/" + newest + "/tensors.safetensors") << "x";
  const auto result = TrainIn("run", &quiet);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(Products("whole") == Products("run"));
  EXPECT_EQ(Metrics("whole"), Metrics("run"));
}

TEST_F(TrainTest, ADivergingRunSaysWhere) {
  Observer quiet;
  std::string recipe = kRecipe;
  recipe.resize(recipe.find("stage {"));
  Write("recipe.pbtxt", recipe + R"(
    stage { name: "labels"
      finetune { loss { [op/MeanSquaredError] {} } epochs: 50 }
      solver { sgd { learning_rate: 1e9 } } })");
  const auto result = TrainIn("run", &quiet);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("stage \"labels\": loss became"),
            std::string::npos)
      << result.status();
  EXPECT_NE(result.status().message().find("lower the learning rate"),
            std::string::npos);
}

TEST_F(TrainTest, RegressionAndReconstructionReportRmse) {
  Observer quiet;
  std::string recipe = kRecipe;
  recipe.resize(recipe.find("stage {"));
  Write("network.pbtxt", R"(
    input { name: "pixels" shape: [36] }
    node { name: "code" input: "pixels" op { [op/Dense] { units: 12 activation: TANH } } }
    node { name: "out" input: "code" op { [op/Dense] { units: 36 } } }
    output: "out")");
  Write("recipe.pbtxt", recipe + R"(
    stage { name: "labels"
      finetune { loss { [op/MeanSquaredError] {} } target: INPUT epochs: 10 }
      solver { adam {} } })");
  ASSERT_TRUE(TrainIn("run", &quiet).ok());
  const auto lines = Metrics("run");
  const auto last = nlohmann::json::parse(lines.back());
  EXPECT_NEAR(last["test_rmse"].get<double>(),
              std::sqrt(last["test_loss"].get<double>()), 1e-12);
  EXPECT_LT(last["test_rmse"].get<double>(), 0.25);
}

TEST_F(TrainTest, MistakesInTheRecipeAreListedTogether) {
  Write("recipe.pbtxt", R"(
    name: "bad/name" batch_size: 0
    data { validation_share: 1.5 }
    stage { name: "a" finetune { epochs: 0 } solver { nesterov { learning_rate: nan } } }
    stage { name: "a" from: "b" pretrain {} solver { sgd {} } })");
  Observer quiet;
  const std::string message(TrainIn("run", &quiet).status().message());
  for (const char* part :
       {"needs a name, without '/'", "graph_file is missing", "batch_size is 0",
        "data.train is missing", "validation_share is 1.5", "epochs is 0",
        "finetune has no loss", "learning_rate", "two stages bear this name",
        "from names no earlier stage \"b\"", "pretrain names no layer"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n" << message;
  }
  EXPECT_FALSE(Exists(Path("run")));
}

}  // namespace
}  // namespace tamer
