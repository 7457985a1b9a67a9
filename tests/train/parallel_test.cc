// Several workers, threads of this process, on one small problem.

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

constexpr char kPlain[] = R"(
      name: "small" graph_file: "network.pbtxt" seed: 3
      data {
        train { idx { images: "train-images" labels: "train-labels" } }
        test { idx { images: "test-images" labels: "test-labels" } }
      }
      stage { name: "labels"
        finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 )";

class ParallelTest : public TrainTest {
 protected:
  // One fine-tuning stage, without noise, on all 333 samples.
  void Plain(const std::string& solver, const std::string& rest = "") {
    recipe_ = absl::StrCat(kPlain, rest, " } solver { ", solver, " } }");
    Write("network.pbtxt", R"(name: "small"
      input { name: "pixels" shape: [36] }
      node { name: "h1" input: "pixels" op { [op/Dense] { units: 20 activation: SIGMOID } } }
      node { name: "logits" input: "h1" op { [op/Dense] { units: 3 } } }
      output: "logits")");
  }
  // The recipe with these words under `parallel`.
  void Parallel(const std::string& words) {
    Write("recipe.pbtxt",
          recipe_ + (words.empty() ? "" : "\nparallel { " + words + " }"));
  }
  void Ok(const std::string& run, const std::vector<std::string>& set) {
    Observer quiet;
    const auto result = TrainIn(run, &quiet, set);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_TRUE(result->finished);
  }
  // Stops after so many steps, and then goes on with other settings.
  void Interrupted(const std::string& run, const std::vector<std::string>& set,
                   int64_t steps, const std::vector<std::string>& then) {
    Stopper stopper(steps);
    const auto stopped = TrainIn(run, &stopper, set);
    ASSERT_TRUE(stopped.ok()) << stopped.status();
    ASSERT_FALSE(stopped->finished);
    Ok(run, then);
  }
  std::vector<float> Parameters(const std::string& run) {
    auto product = OpenProduct(Path(run), registry_);
    EXPECT_TRUE(product.ok()) << product.status();
    std::vector<float> values;
    for (const auto& entry : (*product)->variables.all()) {
      const Tensor& tensor = entry.second;
      values.insert(values.end(), tensor.floats(),
                    tensor.floats() + tensor.elements());
    }
    return values;
  }
  // The largest difference of two runs' parameters.
  double Apart(const std::string& a, const std::string& b) {
    const auto left = Parameters(a), right = Parameters(b);
    EXPECT_EQ(left.size(), right.size());
    double most = 0;
    for (size_t i = 0; i < left.size(); ++i) {
      most = std::max<double>(most, std::fabs(left[i] - right[i]));
    }
    return most;
  }
  std::string recipe_ = kRecipe;

  double LastAccuracy(const std::string& run) {
    const auto lines = Metrics(run);
    return nlohmann::json::parse(lines.back())["test_accuracy"];
  }
};

std::string Workers(int n, const std::string& words) {
  return absl::StrCat("workers: ", n, " learning_rate_correction: NONE ",
                      words);
}

struct Method {
  const char* name;
  const char* words;
};
// 333 samples in minibatches of 10: the last round has 3 samples for worker 1
// and none for the others.
TEST_F(ParallelTest, AveragingEachStepIsALargerMinibatch) {
  Plain("sgd { learning_rate: 0.1 }");
  Parallel("");
  Ok("large", {"batch_size=40"});
  Parallel(Workers(4, "averaging {}"));
  Ok("averaging", {});
  Ok("other", {"parallel.workers=2"});
  Parallel(Workers(4, "gradients {}"));
  Ok("gradients", {});
  EXPECT_LT(Apart("large", "averaging"), 1e-5);
  EXPECT_LT(Apart("large", "gradients"), 1e-5);
  EXPECT_GT(Apart("large", "other"), 1e-3);  // the test can tell
}

// Few rows: their factors are shared, and what is updated is one memory. Many
// rows, or a limit that needs whole gradients or columns: gradients are added
// up.
TEST_F(ParallelTest, GradientsAreThoseOfALargerMinibatchHoweverTheyAreShared) {
  const auto bytes = [&](const std::string& run) -> double {
    return nlohmann::json::parse(Metrics(run).front())["bytes_sent"];
  };
  for (const char* rest : {"", "max_norm: 0.5", "weight_decay: 0.01"}) {
    SCOPED_TRACE(rest);
    Plain(
        absl::StrCat("nesterov { learning_rate: 0.05 momentum: 0.9 } ", rest));
    const std::string name = absl::StrCat("run", strlen(rest));
    Parallel("");
    Ok(name + "large", {"batch_size=30"});
    Ok(name + "huge", {"batch_size=180"});
    Parallel(Workers(3, "gradients {}"));
    Ok(name + "few", {});
    Ok(name + "many", {"batch_size=60"});
    EXPECT_LT(Apart(name + "large", name + "few"), 2e-5);
    EXPECT_LT(Apart(name + "huge", name + "many"), 2e-5);
    EXPECT_GT(Apart(name + "few", name + "many"), 1e-3);  // the test can tell
  }
  // 12 rounds of 10 rows to two others, of 36 + 20 and 20 + 3 numbers, and the
  // gradients of 803 parameters in 2 rounds.
  EXPECT_NEAR(bytes("run0few"), 12 * 2 * 4 * (10 * (36 + 20 + 20 + 3) + 16),
              12 * 2 * 4 * 16);
  EXPECT_NEAR(bytes("run0many"), 2 * 4 * 803 * 2 * 2 / 3, 1);
}

// Of an epoch's last update worker 1 has 13 samples and the others 10.
TEST_F(ParallelTest, AccumulatingMakesEachWorkersMinibatchLarger) {
  Plain("nesterov { learning_rate: 0.05 momentum: 0.9 }");
  Parallel("");
  Ok("large", {"batch_size=60"});
  Ok("larger", {"batch_size=120"});
  Parallel(Workers(3, "averaging {}"));
  Ok("averaging", {"accumulate=2"});
  EXPECT_LT(Apart("large", "averaging"), 2e-5);
  Parallel(Workers(3, "gradients {}"));
  Ok("gradients", {"accumulate=2"});
  EXPECT_LT(Apart("large", "gradients"), 2e-5);
  Ok("more", {"accumulate=4"});
  EXPECT_LT(Apart("larger", "more"), 2e-5);
  EXPECT_GT(Apart("large", "more"), 1e-3);  // the test can tell
  // Gradients went to others twice less often: 6 times, not 12, an epoch.
  const auto line = nlohmann::json::parse(Metrics("gradients").front());
  EXPECT_EQ(line["averagings"], 6);
}

TEST_F(ParallelTest, AnInterruptedRunThatAccumulatesEndsInTheSameBytes) {
  for (const Method& method : {Method{"averaging", "average_every: 2"},
                               Method{"gradients", "gradients {}"}}) {
    SCOPED_TRACE(method.name);
    Parallel(absl::StrCat("workers: 3 ", method.words));
    const std::string name = method.name;
    Ok(name, {"accumulate=3"});
    for (int64_t steps : {2, 9, 16}) {
      const std::string run = absl::StrCat(name, steps);
      Interrupted(run, {"accumulate=3"}, steps, {"accumulate=3"});
      EXPECT_TRUE(Products(name) == Products(run)) << steps;
    }
    Interrupted(name + "other", {"accumulate=3"}, 4,
                {"accumulate=3", "parallel.workers=2"});
  }
}

// With momentum if velocities are averaged; Adam only by its gradients.
TEST_F(ParallelTest, MomentumAndAdam) {
  Plain("nesterov { learning_rate: 0.05 momentum: 0.9 }");
  Parallel("");
  Ok("large", {"batch_size=30"});
  Parallel(Workers(3, "averaging {}"));
  Ok("averaging", {});
  EXPECT_LT(Apart("large", "averaging"), 2e-5);
  Plain("adam { learning_rate: 0.01 }", "clip_norm: 0.5");
  Parallel("");
  Ok("large_adam", {"batch_size=30"});
  Parallel(Workers(3, "gradients {}"));
  Ok("gradients", {});
  EXPECT_LT(Apart("large_adam", "gradients"), 2e-4);
}

constexpr Method kMethods[] = {
    {"averaging", "averaging {} average_every: 4"},
    {"kept", "averaging {} average_every: 4 optimizer_state: KEEP"},
    {"gradients", "gradients {}"},
    {"outer", "outer {} average_every: 4"},
    {"block", "block_momentum {} average_every: 4"},
    {"elastic", "elastic {} average_every: 4"},
    {"post_local", "post_local {} average_every: 4"},
    {"compress", "averaging {} average_every: 4 compress: true"},
};

// All stages: RBMs with velocities, dropout, early stopping.
TEST_F(ParallelTest, AnInterruptedRunEndsInTheSameBytes) {
  for (const Method& method : kMethods) {
    SCOPED_TRACE(method.name);
    Parallel(absl::StrCat("workers: 3 ", method.words));
    const std::string name = method.name;
    Ok(name, {});
    Ok(name + "_again", {});
    EXPECT_TRUE(Products(name) == Products(name + "_again"));
    for (int64_t steps : {3, 30, 60}) {
      const std::string run = absl::StrCat(name, steps);
      Interrupted(run, {}, steps, {});
      EXPECT_TRUE(Products(name) == Products(run)) << steps;
    }
  }
}

TEST_F(ParallelTest, AnotherNumberOfWorkersGoesOn) {
  Plain("sgd { learning_rate: 0.1 }");
  Parallel(Workers(2, "averaging {}"));
  Interrupted("more", {}, 20, {"parallel.workers=3"});
  EXPECT_GT(LastAccuracy("more"), 0.9);
  Interrupted("alone", {}, 20, {"parallel.workers=1"});
  EXPECT_GT(LastAccuracy("alone"), 0.9);
}

TEST_F(ParallelTest, EveryMethodLearns) {
  Plain("nesterov { learning_rate: 0.02 momentum: 0.9 }");
  for (const Method& method : kMethods) {
    SCOPED_TRACE(method.name);
    Parallel(absl::StrCat("workers: 2 ", method.words));
    Ok(method.name, {});
    EXPECT_GT(LastAccuracy(method.name), 0.9);
  }
  Parallel("workers: 2 averaging {} average_every: 4 overlap: true");
  Ok("overlap", {});
  EXPECT_GT(LastAccuracy("overlap"), 0.9);
}

TEST_F(ParallelTest, TheLogTellsHowWorkWasSpread) {
  Plain("sgd { learning_rate: 0.1 }");
  Parallel(Workers(2, "averaging {} average_every: 5"));
  Ok("run", {});
  const auto line = nlohmann::json::parse(Metrics("run").front());
  EXPECT_EQ(line["workers"], 2);
  EXPECT_EQ(line["averagings"], 4);  // 34 minibatches, 17 rounds
  EXPECT_GT(line["bytes_sent"], 0);
}

TEST_F(ParallelTest, AFailingWorkerEndsTheRunWithItsOwnWords) {
  Plain("sgd { learning_rate: 1e9 }");
  const std::string loss = "SoftmaxCrossEntropy";
  recipe_.replace(recipe_.find(loss), loss.size(), "MeanSquaredError");
  Parallel(Workers(3, "averaging {}"));
  Observer quiet;
  const auto result = TrainIn("run", &quiet);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("lower the learning rate"),
            std::string::npos)
      << result.status();
}

TEST_F(ParallelTest, WhatDoesNotGoTogetherIsToldBeforeAnythingRuns) {
  Plain("sgd { learning_rate: 0.1 }");
  Parallel("workers: 2 average_every: 0");
  Observer quiet;
  const auto result = TrainIn("run", &quiet);
  const std::string message(result.status().message());
  EXPECT_NE(message.find("recipe.pbtxt: parallel: average_every is 0"),
            std::string::npos)
      << message;
  EXPECT_FALSE(Exists(Path("run")));
}

}  // namespace
}  // namespace tamer
