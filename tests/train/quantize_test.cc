// Products in 8-bit integers: what they predict, and what they refuse.

#include "core/train/quantize.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/evaluate.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

class QuantizeTest : public TrainTest {
 protected:
  QuantizeTest() {
    Write("network.pbtxt", R"(
      name: "wide"
      input { name: "pixels" shape: [36] }
      node { name: "h1" input: "pixels" op { [op/Dense] { units: 128 activation: SIGMOID } } }
      node { name: "drop" input: "h1" op { [op/Dropout] { rate: 0.1 } } }
      node { name: "h2" input: "drop" op { [op/Dense] { units: 64 activation: RELU } } }
      node { name: "logits" input: "h2" op { [op/Dense] { units: 3 } } }
      output: "logits")");
  }

  void TrainOnce() {
    Observer quiet;
    const auto result = TrainIn("run", &quiet);
    ASSERT_TRUE(result.ok()) << result.status();
    auto recipe = LoadRecipe(Path("recipe.pbtxt"), {}, registry_);
    auto data = LoadData(*recipe);
    ASSERT_TRUE(data.ok()) << data.status();
    data_ = *std::move(data);
  }
  std::unique_ptr<Product> Open(const std::string& name) {
    auto product = OpenProduct(Path(name), registry_);
    EXPECT_TRUE(product.ok()) << product.status();
    return product.ok() ? *std::move(product) : nullptr;
  }
  double Accuracy(Product* product) {
    Scheduler scheduler{ThreadOptions()};
    const auto evaluation =
        EvaluateOn(product->network, *product->finetune(), *data_.test,
                   data_.scaling, &product->variables, &scheduler);
    EXPECT_TRUE(evaluation.ok()) << evaluation.status();
    return evaluation->metric_value;
  }
  // The path of the last stage's product in 8-bit integers.
  std::string Quantized() {
    const auto product = Open("run");
    const auto quantized = QuantizeProduct(product.get(), *data_.train);
    EXPECT_TRUE(quantized.ok()) << quantized.status();
    const auto saved = SaveProduct(Path("int8"), (*quantized)->manifest,
                                   (*quantized)->variables.all(), {});
    EXPECT_TRUE(saved.ok()) << saved.status();
    return saved->path;
  }

  TrainingData data_;
};

TEST_F(QuantizeTest, ItPredictsAsTheOneItWasMadeFrom) {
  TrainOnce();
  const std::string path = Quantized();
  const auto before = Open("run"), after = Open("int8/labels");
  EXPECT_EQ(after->path, path);
  EXPECT_NEAR(Accuracy(before.get()), Accuracy(after.get()), 0.021);
  EXPECT_EQ(after->manifest.parent_id(), before->id);
  EXPECT_TRUE(IsQuantized(after->manifest));
  EXPECT_FALSE(IsQuantized(before->manifest));
  std::string ops;
  for (const Node& node : after->network.nodes()) ops += node.op->name() + " ";
  EXPECT_EQ(ops, "QuantizedDense QuantizedDense Dense ");
  // What pretraining left for generation is not needed to predict.
  EXPECT_NE(before->variables.Find("h1/visible_bias"), nullptr);
  EXPECT_EQ(after->variables.Find("h1/visible_bias"), nullptr);

  auto floats = Predictor::Open(Path("run"), registry_);
  auto bytes = Predictor::Open(path, registry_);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  for (int64_t samples : {1, 10}) {
    std::vector<float> pixels(samples * 36);
    for (size_t p = 0; p < pixels.size(); ++p) pixels[p] = (p * 7 % 36) / 36.0f;
    const float* p = *(*floats)->Predict(pixels.data(), samples);
    const float* q = *(*bytes)->Predict(pixels.data(), samples);
    for (int64_t i = 0; i < samples * 3; ++i) EXPECT_NEAR(p[i], q[i], 0.03);
  }
}

TEST_F(QuantizeTest, TheSameProductAndDataGiveTheSameBytes) {
  TrainOnce();
  EXPECT_EQ(Quantized(), Quantized());
}

TEST_F(QuantizeTest, WhatCannotBeQuantizedIsSaid) {
  TrainOnce();
  const auto fault = [&](const std::string& name, const Dataset& data) {
    const auto product = Open(name);
    return std::string(QuantizeProduct(product.get(), data).status().message());
  };
  EXPECT_TRUE(absl::StrContains(fault("run/features", *data_.train),
                                "yet to be trained by fine-tuning"));
  const std::string path = Quantized();
  EXPECT_TRUE(absl::StrContains(fault("int8/labels", *data_.train),
                                "no Dense layer of 4,096 weights or more"));
  Dataset other;
  other.dtype = DType::kFloat;
  other.sample_shape = Shape({5});
  other.size = 1;
  other.floats.assign(5, 0);
  EXPECT_TRUE(absl::StrContains(fault("run", other), "[5] (5 numbers)"));
  other.sample_shape = Shape({36});
  other.floats.assign(36, NAN);
  EXPECT_TRUE(absl::StrContains(
      fault("run", other), "node \"h1\": its input reached from 0 to nan"));
}

TEST_F(QuantizeTest, ItCannotBeTrainedFurther) {
  TrainOnce();
  const std::string id = Open("run")->id;
  Quantized();
  Write("recipe.pbtxt", R"(
    name: "more"
    graph_file: "network.pbtxt"
    data { train { idx { images: "train-images" labels: "train-labels" } } }
    stage {
      name: "more"
      load { product: "int8/labels" }
      finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }
      solver { sgd {} }
    })");
  Observer quiet;
  const auto result = TrainIn("more", &quiet);
  EXPECT_TRUE(absl::StrContains(
      result.status().message(),
      "predicts in 8-bit integers and cannot be trained further; start from "
      "the product that it was exported from: " +
          id))
      << result.status();
  // Nor can a network written with such layers be trained through.
  Write("network.pbtxt", R"(
    input { name: "pixels" shape: [36] }
    node { name: "h" input: "pixels" op { [op/Dense] { units: 8 } } }
    node { name: "y" input: "h" op { [op/QuantizedDense] { units: 3 input_scale: 1 } } }
    output: "y")");
  Write("recipe.pbtxt", R"(
    name: "new"
    graph_file: "network.pbtxt"
    data { train { idx { images: "train-images" labels: "train-labels" } } }
    stage {
      name: "new"
      finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 1 }
      solver { sgd {} }
    })");
  EXPECT_TRUE(absl::StrContains(TrainIn("new", &quiet).status().message(),
                                "export it by --int8"));
}

// A file whose numbers were changed, and its checksums with them.
TEST_F(QuantizeTest, AProductWithAScaleThatIsNoneIsRefused) {
  TrainOnce();
  const auto product = LoadProduct(*FindProduct(Quantized()));
  ASSERT_TRUE(product.ok()) << product.status();
  for (const float scale : {0.0f, NAN}) {
    auto tensors = product->tensors;
    std::vector<float> scales(128, scale);
    tensors["h1/weight_scale"].data = scales.data();
    const auto saved =
        SaveProduct(Path("bad"), product->info.manifest, tensors, {});
    ASSERT_TRUE(saved.ok()) << saved.status();
    auto predictor = Predictor::Open(saved->path, registry_);
    ASSERT_TRUE(predictor.ok()) << predictor.status();
    const std::vector<float> pixels(36, 0.5f);
    EXPECT_TRUE(absl::StrContains(
        (*predictor)->Predict(pixels.data(), 1).status().message(),
        "weight_scale of unit 0 is"));
  }
}

}  // namespace
}  // namespace tamer
