// Stages as products: gone on with, repeated, loaded elsewhere, adapted; and
// never harmed.

#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/checkpoint.h"
#include "core/train/evaluate.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

constexpr char kHead[] = R"(
name: "small"
graph_file: "network.pbtxt"
data {
  train { idx { images: "train-images" labels: "train-labels" } }
  test { idx { images: "test-images" labels: "test-labels" } }
}
seed: 3
)";

constexpr char kLabels[] = R"(
stage { name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 }
  solver { nesterov { learning_rate: 0.05 momentum: 0.9 } } }
)";

constexpr char kFeatures[] = R"(
stage { name: "features"
  pretrain { layer { node: "h1" rbm {} } layer { node: "h2" rbm {} } epochs: 1 }
  solver { sgd { learning_rate: 0.05 momentum: 0.5 } } }
)";

class StagesTest : public TrainTest {
 protected:
  void Recipe(const std::string& stages) {
    Write("recipe.pbtxt", kHead + stages);
  }
  // Trains and expects success.
  void Ok(const std::string& run, std::vector<std::string> set = {},
          TrainOptions options = {}) {
    Observer quiet;
    const auto result = TrainIn(run, &quiet, std::move(set), options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->finished);
  }
  std::string Fault(const std::string& run, TrainOptions options = {}) {
    Observer quiet;
    return std::string(TrainIn(run, &quiet, {}, options).status().message());
  }
  std::string Tensors(const std::string& run, const std::string& stage) {
    return ReadAll(ProductOf(run, stage).path + "/tensors.safetensors");
  }
  double Metric(const ProductInfo& info, const std::string& name) {
    for (const MetricDef& metric : info.manifest.metric()) {
      if (metric.name() == name) return metric.value();
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
  }
  double Evaluated(const std::string& product) {
    auto opened = OpenProduct(product, registry_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    auto recipe = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
    const auto data = LoadData(*recipe);
    Scheduler scheduler{ThreadOptions()};
    const auto evaluation =
        EvaluateOn((*opened)->network, *(*opened)->finetune(), *data->test,
                   data->scaling, &(*opened)->variables, &scheduler);
    EXPECT_TRUE(evaluation.ok()) << evaluation.status();
    return evaluation->loss;
  }
};

// Two epochs and two more are four: parameters, optimizer, particles, data
// order and random numbers go on as if nothing had happened.
TEST_F(StagesTest, AStageGoesOnToTheBytesOfOneThatWasNeverPaused) {
  const auto stage = [](int epochs) {
    return absl::StrCat(R"(stage { name: "features"
        pretrain { layer { node: "h1" rbm { persistent: true particles: 20
                     sparsity { target: 0.2 } } } epochs: )",
                        epochs, R"( }
        solver { sgd { learning_rate: 0.05 momentum: 0.9 }
                 momentum_ramp { start: 0.5 epochs: 3 } } })");
  };
  Recipe(stage(4));
  Ok("whole");
  Recipe(stage(2));
  Ok("paused");
  const ProductInfo before = ProductOf("paused", "features");
  const std::string bytes = Products("paused");
  TrainOptions more;
  more.continue_stage = "features";
  Ok("paused", {}, more);
  EXPECT_EQ(Tensors("whole", "features"), Tensors("paused", "features"));
  EXPECT_EQ(
      ReadAll(ProductOf("whole", "features").path + "/state.safetensors"),
      ReadAll(ProductOf("paused", "features").path + "/state.safetensors"));
  // It is another product, of the next generation; the first is as it was.
  const ProductInfo after = ProductOf("paused", "features");
  EXPECT_EQ(after.manifest.generation(), 2);
  EXPECT_EQ(after.manifest.parent_id(), before.id);
  EXPECT_EQ(after.manifest.done(0).epochs(), 4);
  EXPECT_EQ(ListProducts(Path("paused")).size(), 2u);
  EXPECT_TRUE(absl::StrContains(Products("paused"), bytes) ||
              LoadProduct(before).ok());
  EXPECT_TRUE(LoadProduct(before).ok());
}

TEST_F(StagesTest, FineTuningGoesOnTooAndAnInterruptedContinuationResumes) {
  const auto stage = [](int epochs) {
    return absl::StrCat(
        R"(stage { name: "labels" finetune { loss { [op/SoftmaxCrossEntropy] {} }
             epochs: )",
        epochs, R"( } solver { adam {} } })");
  };
  Recipe(stage(6));
  Ok("whole");
  Recipe(stage(3));
  Ok("paused");
  TrainOptions more;
  more.continue_stage = "labels";
  Stopper stopper(20);
  const auto cut = TrainIn("paused", &stopper, {}, more);
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_FALSE(cut->finished);
  EXPECT_TRUE(absl::StrContains(Fault("paused"), "--continue-stage labels"));
  Ok("paused", {}, more);
  EXPECT_EQ(Tensors("whole", "labels"), Tensors("paused", "labels"));
  const auto whole = Metrics("whole"), paused = Metrics("paused");
  // A line an epoch and the stage's end twice; the same epochs.
  ASSERT_EQ(whole.size(), 7u);
  ASSERT_EQ(paused.size(), 8u);
  EXPECT_EQ(whole[5], paused[6]);
}

TEST_F(StagesTest, MoreDataContinuesAStage) {
  Recipe(std::string(kFeatures) + kLabels);
  Ok("run", {"data.train.limit=100"});
  TrainOptions more;
  more.continue_stage = "features";
  Ok("run", {"data.train.skip=100"}, more);
  const ProductInfo second = ProductOf("run", "features");
  EXPECT_EQ(second.manifest.generation(), 2);
  EXPECT_EQ(second.manifest.done(1).epochs(), 2);
  // Fine-tuned again, from what is now the newest product.
  TrainOptions again;
  again.again_stage = "labels";
  Ok("run", {"data.train.limit=100"}, again);
  const ProductInfo labels = ProductOf("run", "labels");
  EXPECT_EQ(labels.manifest.parent_id(), second.id);
  EXPECT_EQ(labels.manifest.generation(), 2);
  EXPECT_EQ(ListProducts(Path("run")).size(), 4u);
  EXPECT_TRUE(absl::StrContains(
      Fault("run", more = TrainOptions{"", "labls", ""}), "did you mean"));
}

TEST_F(StagesTest, StagesHaveDataOfTheirOwn) {
  Recipe(R"(
    stage { name: "features"
      data { train { idx { images: "test-images" } } }
      pretrain { layer { node: "h1" autoencoder { corruption { mask: 0.2 } } }
                 layer { node: "h2" unrolled {} } layer { node: "h2" rotation {} }
                 layer { node: "h1" masked {} } layer { node: "h2" up_down {} }
                 epochs: 1 }
      solver { sgd { learning_rate: 0.01 } } })" +
         std::string(kLabels));
  Ok("run");
  const ProductInfo features = ProductOf("run", "features");
  EXPECT_EQ(features.manifest.done_size(), 5);
  EXPECT_EQ(features.manifest.done(0).steps(), 10);  // of the 100 test images
  EXPECT_NE(features.manifest.data_sha256(),
            ProductOf("run", "labels").manifest.data_sha256());
  // A pretext head and the untrained head above have no place in the product.
  const auto loaded = LoadProduct(features);
  std::string names;
  for (const auto& entry : loaded->tensors) names += entry.first + " ";
  EXPECT_EQ(names,
            "h1/bias h1/generative_weight h1/visible_bias h1/weight h2/bias "
            "h2/visible_bias h2/weight ");
}

TEST_F(StagesTest, AProductIsLoadedByNameWithRules) {
  Recipe(kFeatures);
  Ok("first");
  // Another network: h1 is called "low", h2 is wider.
  Write("network.pbtxt", R"(
    input { name: "pixels" shape: [36] }
    node { name: "low" input: "pixels" op { [op/Dense] { units: 20 activation: SIGMOID } } }
    node { name: "h2" input: "low" op { [op/Dense] { units: 14 activation: SIGMOID } } }
    node { name: "logits" input: "h2" op { [op/Dense] { units: 3 } } }
    output: "logits")");
  const auto with = [&](const std::string& rules) {
    Recipe(absl::StrCat(R"(stage { name: "labels"
      load { product: "first/features" )",
                        rules, R"( }
      finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 freeze: "low" }
      solver { nesterov { momentum: 0.9 } weight_decay: 0.1 } })"));
  };
  with("");
  std::string fault = Fault("second");
  for (const char* part :
       {"missing from the product: low/weight, low/bias, logits/weight",
        "in the product, but not in the network: h1/bias, h1/visible_bias",
        "of another shape: h2/weight: the network's is FLOAT [20, 14], the "
        "product's FLOAT [20, 12]",
        "allow_missing: \"low\"", "allow_mismatched: \"h2\""}) {
    EXPECT_TRUE(absl::StrContains(fault, part)) << part << "\n" << fault;
  }
  with("rename { from: 'h1/' to: 'low/' } rename { from: 'h2/' to: 'low/' }");
  EXPECT_TRUE(absl::StrContains(Fault("second"), "two parameters"));
  with(
      "rename { from: 'h1/' to: 'low/' } allow_missing: 'logits' "
      "allow_mismatched: 'h2'");
  Ok("second");
  // What was frozen is the first product's, to the bit: neither decay nor
  // moments touch it.
  const auto a = LoadProduct(ProductOf("first", "features"));
  const auto b = LoadProduct(ProductOf("second", "labels"));
  const Tensor& w = a->tensors.at("h1/weight");
  EXPECT_EQ(std::memcmp(w.data, b->tensors.at("low/weight").data, w.bytes()),
            0);
  EXPECT_EQ(ProductOf("second", "labels").manifest.parent_id(),
            ProductOf("first", "features").id);
  with("allow_missing: '*' allow_unexpected: '*' allow_mismatched: '*'");
  Ok("third");
}

TEST_F(StagesTest, AdaptersAreSavedAloneAndMergeIntoTheirBase) {
  Recipe(std::string(kFeatures) + kLabels + R"(
    stage { name: "adapted" finetune { loss { [op/SoftmaxCrossEntropy] {} }
      epochs: 3 adapters { rank: 2 node: "h1" node: "h2" } }
      solver { nesterov { learning_rate: 0.05 momentum: 0.9 } weight_decay: 0.01 } }
    stage { name: "more" finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }
      solver { sgd { learning_rate: 0.01 } } })");
  Ok("run");
  const ProductInfo base = ProductOf("run", "labels");
  const ProductInfo adapted = ProductOf("run", "adapted");
  const auto file = ReadTensors(adapted.path + "/tensors.safetensors");
  std::string names;
  for (const auto& entry : file->tensors) names += entry.first + " ";
  EXPECT_EQ(names,
            "h1/lora_a h1/lora_b h2/lora_a h2/lora_b logits/bias "
            "logits/weight ");
  EXPECT_EQ(adapted.manifest.base_id(), base.id);
  // Merged, it does what it did while training.
  EXPECT_NEAR(Evaluated(adapted.path), Metric(adapted, "test_loss"), 1e-6);
  EXPECT_NE(Metric(adapted, "test_loss"), Metric(base, "test_loss"));
  // Without its base it says what is missing.
  ASSERT_TRUE(MakeFolder(Path("alone")).ok());
  const std::string alone =
      Path("alone") + adapted.path.substr(adapted.path.rfind('/'));
  ASSERT_EQ(
      std::system(absl::StrCat("cp -r ", adapted.path, " ", alone).c_str()), 0);
  EXPECT_TRUE(Evaluated(alone) > 0);  // its run is where it was
  ASSERT_EQ(rename(base.path.c_str(), Path("hidden").c_str()), 0);
  EXPECT_TRUE(
      absl::StrContains(LoadProduct(*FindProduct(alone)).status().message(),
                        absl::StrCat("holds adapters of product ", base.id)));
}

TEST_F(StagesTest, AdaptersNeedSomethingToAdapt) {
  Recipe(
      R"(stage { name: "labels" finetune { loss { [op/SoftmaxCrossEntropy] {} }
    adapters {} } solver { adam {} } })");
  EXPECT_TRUE(absl::StrContains(Fault("run"), "adapters need a product"));
  EXPECT_FALSE(Exists(Path("run")));
}

TEST_F(StagesTest, LayersUnfreezeWhileTraining) {
  Recipe(std::string(kFeatures) + R"(
    stage { name: "labels" finetune { loss { [op/SoftmaxCrossEntropy] {} }
      epochs: 3 unfreeze_every: 1 freeze: "h1" }
      solver { nesterov { learning_rate: 0.05 momentum: 0.9 } weight_decay: 0.01
               max_norm: 1.5 } })");
  Ok("whole");
  const auto features = LoadProduct(ProductOf("whole", "features"));
  const auto labels = LoadProduct(ProductOf("whole", "labels"));
  const auto same = [&](const char* name) {
    const Tensor &a = features->tensors.at(name), &b = labels->tensors.at(name);
    return std::memcmp(a.data, b.data, a.bytes()) == 0;
  };
  EXPECT_TRUE(same("h1/weight"));
  EXPECT_FALSE(same("h2/weight"));
  const Tensor& w = labels->tensors.at("h2/weight");
  for (int64_t j = 0; j < 12; ++j) {
    double square = 0;
    for (int64_t i = 0; i < 20; ++i) {
      square += std::pow(w.floats()[i * 12 + j], 2);
    }
    EXPECT_LE(std::sqrt(square), 1.5001);
  }
  // A cut at any point of it, the change of graphs included, loses nothing.
  for (int64_t step : {69, 70, 71, 100, 103, 104}) {
    const std::string run = absl::StrCat("cut", step);
    Stopper stopper(step);
    ASSERT_TRUE(TrainIn(run, &stopper).ok());
    Ok(run);
    EXPECT_TRUE(Products("whole") == Products(run)) << step;
  }
}

TEST_F(StagesTest, AProductWhoseContentWasChangedIsRefused) {
  Recipe(kFeatures);
  Ok("run");
  const ProductInfo info = ProductOf("run", "features");
  // As if another product had been copied over it.
  Ok("other", {"seed=4"});
  const std::string other = ProductOf("other", "features").path;
  ASSERT_EQ(std::system(absl::StrCat("cp ", other, "/manifest.pb ", info.path,
                                     "/manifest.pb")
                            .c_str()),
            0);
  EXPECT_TRUE(absl::StrContains(FindProduct(info.path).status().message(),
                                "not what its name says"));
  ASSERT_EQ(std::system(absl::StrCat("cp ", other, "/tensors.safetensors ",
                                     ProductOf("other", "features").path,
                                     "/x; printf x >> ", other,
                                     "/tensors.safetensors")
                            .c_str()),
            0);
  EXPECT_TRUE(absl::StrContains(
      LoadProduct(*FindProduct(other)).status().message(), "is damaged"));
}

TEST_F(StagesTest, AProductIsFoundByStageAndIdentifier) {
  Recipe(kFeatures);
  Ok("run");
  const ProductInfo info = ProductOf("run", "features");
  for (const std::string& path :
       {info.path, info.path + "/", Path("run/features"),
        Path("run/features.product"), Path("run/" + info.id.substr(0, 6))}) {
    const auto found = FindProduct(path);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->id, info.id);
  }
  EXPECT_FALSE(FindProduct(Path("run/nothing")).ok());
  EXPECT_EQ(FindProductOrRun(Path("run"), registry_)->id, info.id);
}

}  // namespace
}  // namespace tamer
