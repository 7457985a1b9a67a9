// Whole runs on small made data: what is learned, that the same run gives the
// same bytes, and that an interrupted one ends in those bytes too.

#include <cmath>

#include "core/train/checkpoint.h"
#include "core/train/evaluate.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

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
  const auto features = LoadProduct(ProductOf("run", "features"));
  ASSERT_TRUE(features.ok());
  EXPECT_EQ(features->tensors.count("h1/visible_bias"), 1u);
  EXPECT_EQ((*product)->manifest.parent(), "features");
  EXPECT_EQ((*product)->manifest.parent_id(), features->info.id);
  // No optimizer state, no copies, no rolling checkpoints are left.
  for (const auto& entry : features->tensors) {
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
  // Other numbers of samples are answered in the same memory.
  const std::vector<float> one(p, p + 3);
  pixels.resize(50 * 36);
  for (int i = 36; i < 50 * 36; ++i) pixels[i] = pixels[i % 36];
  int64_t bytes = 0;
  for (int samples : {50, 1, 20, 50}) {
    const auto many = (*predictor)->Predict(pixels.data(), samples);
    ASSERT_TRUE(many.ok()) << many.status();
    for (int i = 0; i < 3 * samples; ++i) {
      EXPECT_NEAR((*many)[i], one[i % 3], 1e-6);
    }
    if (bytes == 0) bytes = (*predictor)->arena_bytes();
    EXPECT_EQ((*predictor)->arena_bytes(), bytes);
  }
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
  const std::string product = ProductOf("run", "features").path;
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

TEST_F(TrainTest, ARollingCheckpointIsNoProduct) {
  Stopper stopper(30);
  ASSERT_TRUE(TrainIn("run", &stopper).ok());
  std::string rolling;
  for (const std::string& name : ListFolder(Path("run"))) {
    if (name.find("rolling-") == 0) rolling = Path("run") + "/" + name;
  }
  ASSERT_FALSE(rolling.empty());
  const auto found = FindProduct(rolling);
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.status().message().find("a stage that isn't finished"),
            std::string::npos)
      << found.status();
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
