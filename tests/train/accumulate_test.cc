// Several minibatches before each update, and values computed again.

#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/checkpoint.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

class AccumulateTest : public TrainTest {
 protected:
  // A recipe of one fine-tuning stage.
  void Recipe(const std::string& finetune, const std::string& solver,
              const std::string& rest = "") {
    Write("recipe.pbtxt",
          absl::StrCat(R"(
      name: "small" graph_file: "network.pbtxt" seed: 3
      data {
        train { idx { images: "train-images" labels: "train-labels" } }
        test { idx { images: "test-images" labels: "test-labels" } }
        validation_share: 0.2
      }
      )",
                       rest, R"(
      stage { name: "labels"
        finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 )",
                       finetune, " } solver { ", solver, " } }"));
  }
  void WithoutNoise() {
    Write("network.pbtxt", R"(name: "small"
      input { name: "pixels" shape: [36] }
      node { name: "h1" input: "pixels" op { [op/Dense] { units: 20 activation: SIGMOID } } }
      node { name: "h2" input: "h1" op { [op/Dense] { units: 12 activation: TANH } } }
      node { name: "logits" input: "h2" op { [op/Dense] { units: 3 } } }
      output: "logits")");
  }
  void Ok(const std::string& run, std::vector<std::string> set) {
    Observer quiet;
    const auto result = TrainIn(run, &quiet, std::move(set));
    ASSERT_TRUE(result.ok()) << result.status();
  }
  std::string Tensors(const std::string& run, const std::string& stage) {
    return ReadAll(ProductOf(run, stage).path + "/tensors.safetensors");
  }
  std::map<std::string, std::vector<float>> Parameters(const std::string& run) {
    auto product = OpenProduct(Path(run), registry_);
    EXPECT_TRUE(product.ok()) << product.status();
    std::map<std::string, std::vector<float>> values;
    for (const auto& entry : (*product)->variables.all()) {
      values[entry.first].assign(
          entry.second.floats(),
          entry.second.floats() + entry.second.elements());
    }
    return values;
  }
  // The largest difference of two runs' parameters.
  double Apart(const std::string& a, const std::string& b) {
    const auto left = Parameters(a), right = Parameters(b);
    EXPECT_EQ(left.size(), 6u);
    double most = 0;
    for (const auto& entry : left) {
      const auto& other = right.at(entry.first);
      for (size_t i = 0; i < other.size(); ++i) {
        most = std::max<double>(most, std::fabs(entry.second[i] - other[i]));
      }
    }
    return most;
  }
};

// 267 samples: the last batch of 100 has 67, the last ones of 25 are 25, 25 and
// 17, and those of 30 don't meet the large batch's end at all.
TEST_F(AccumulateTest, FourSmallMinibatchesAreALargeOne) {
  WithoutNoise();
  for (const char* finetune : {"", "clip_norm: 0.05", "clip_value: 0.002"}) {
    SCOPED_TRACE(finetune);
    Recipe(finetune, "sgd { learning_rate: 0.5 } weight_decay: 0.01");
    const std::string run = finetune;
    Ok(run + "large", {"batch_size=100"});
    Ok(run + "small", {"batch_size=25", "accumulate=4"});
    Ok(run + "stage",
       {"batch_size=25", "accumulate=7", "stage.labels.accumulate=4"});
    Ok(run + "alone", {"batch_size=25"});
    EXPECT_LT(Apart(run + "large", run + "small"), 2e-5);
    EXPECT_EQ(Tensors(run + "small", "labels"),
              Tensors(run + "stage", "labels"));
    EXPECT_GT(Apart(run + "large", run + "alone"), 1e-3);
  }
  // Rules with moments, and a schedule, see as many updates, too.
  Recipe("", "nesterov { learning_rate: 0.1 momentum: 0.9 }");
  Ok("nesterov-large", {"batch_size=100"});
  Ok("nesterov-small", {"batch_size=25", "accumulate=4"});
  EXPECT_LT(Apart("nesterov-large", "nesterov-small"), 5e-5);
}

TEST_F(AccumulateTest, AnInterruptedRunEndsInTheSameBytes) {
  for (const char* stage :
       {"early_stopping { patience: 2 } clip_norm: 0.5", "clip_value: 0.1"}) {
    SCOPED_TRACE(stage);
    Recipe(stage,
           "nesterov { learning_rate: 0.1 momentum: 0.9 } "
           "schedule { cosine {} }",
           "accumulate: 5 recompute {}");
    const std::string run = absl::StrCat("run", std::strlen(stage));
    Ok(run, {});
    for (int64_t every : {1, 7, 13}) {
      const std::string cut = absl::StrCat(run, "cut", every);
      for (int tries = 0; tries < 200; ++tries) {
        Stopper stopper(every);
        const auto result = TrainIn(cut, &stopper);
        ASSERT_TRUE(result.ok()) << result.status();
        if (result->finished) break;
      }
      EXPECT_TRUE(Products(run) == Products(cut)) << every;
      EXPECT_EQ(Metrics(run), Metrics(cut)) << every;
    }
    // Nothing that waits for an update is left.
    EXPECT_EQ(Products(run).find("accumulated"), std::string::npos);
  }
}

TEST_F(AccumulateTest, PretrainingToo) {
  Observer quiet;
  for (const char* threads : {"threads.intra_op=1", "threads.inter_op=2"}) {
    ASSERT_TRUE(TrainIn(threads, &quiet, {"accumulate=3", threads}).ok());
  }
  EXPECT_EQ(Products("threads.intra_op=1"), Products("threads.inter_op=2"));
  ASSERT_TRUE(TrainIn("plain", &quiet).ok());
  EXPECT_NE(Tensors("plain", "features"),
            Tensors("threads.intra_op=1", "features"));
}

// A stage whose values are computed again makes the same parameters.
TEST_F(AccumulateTest, RecomputingChangesNoBit) {
  Recipe("", "adam {}");
  Ok("kept", {});
  Ok("every", {"recompute.every=2"});
  Recipe("", "adam {}", "recompute {}");
  Ok("auto", {});
  EXPECT_EQ(Tensors("kept", "labels"), Tensors("every", "labels"));
  EXPECT_EQ(Tensors("kept", "labels"), Tensors("auto", "labels"));
}

TEST_F(AccumulateTest, MistakesAreToldBeforeAnythingRuns) {
  Observer quiet;
  const auto fault = [&](const std::string& rest) {
    Recipe("", "sgd {}", rest);
    return std::string(TrainIn("run", &quiet).status().message());
  };
  EXPECT_TRUE(absl::StrContains(fault("accumulate: 0"),
                                "accumulate is 0; it must be 1 to"));
  EXPECT_TRUE(absl::StrContains(fault("recompute { every: 0 }"),
                                "recompute.every is 0; it must be at least 1"));
  EXPECT_TRUE(absl::StrContains(fault("recompute { every: 2 node: 'h1' }"),
                                "recompute has both every and node"));
  EXPECT_TRUE(absl::StrContains(fault("recompute { node: 'h3' }"),
                                "recompute: node: there is no node \"h3\""));
}

}  // namespace
}  // namespace tamer
