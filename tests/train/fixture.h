#ifndef TAMER_TESTS_TRAIN_FIXTURE_H_
#define TAMER_TESTS_TRAIN_FIXTURE_H_

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/train/files.h"
#include "core/train/product.h"
#include "core/train/trainer.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

// A small made problem, and runs on it.

namespace tamer {

inline constexpr int kSide = 6, kClasses = 3;

inline std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline void AppendBigEndian(uint32_t value, std::string* text) {
  for (int shift : {24, 16, 8, 0})
    text->push_back(static_cast<char>(value >> shift));
}

// Images of noise in which two rows, told by the label, are bright.
inline void WriteData(const std::string& folder, const std::string& name,
                      int count) {
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

inline constexpr char kNetwork[] = R"(
name: "small"
input { name: "pixels" shape: [36] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 20 activation: SIGMOID } } }
node { name: "h2" input: "h1" op { [op/Dense] { units: 12 activation: SIGMOID } } }
node { name: "drop" input: "h2" op { [op/Dropout] { rate: 0.1 } } }
node { name: "logits" input: "drop" op { [op/Dense] { units: 3 } } }
output: "logits"
)";

inline constexpr char kRecipe[] = R"(
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
                                      std::vector<std::string> set = {},
                                      TrainOptions options = {}) {
    auto recipe = LoadRecipe(Path("recipe.pbtxt"), set, registry_);
    if (!recipe.ok()) return recipe.status();
    options.run = Path(run);
    return Train(*recipe, registry_, options, observer);
  }
  // The newest product of a stage.
  ProductInfo ProductOf(const std::string& run, const std::string& stage) {
    auto info = NewestProduct(Path(run), stage);
    EXPECT_TRUE(info.ok()) << info.status();
    return info.ok() ? *info : ProductInfo();
  }
  // All bytes of a run's products.
  std::string Products(const std::string& run) {
    std::string bytes;
    for (const ProductInfo& info : ListProducts(Path(run))) {
      for (const std::string& file : ListFolder(info.path)) {
        bytes += file + ReadAll(info.path + "/" + file);
      }
    }
    EXPECT_FALSE(bytes.empty());
    return bytes;
  }
  // metrics.jsonl without what depends on the clock.
  std::vector<std::string> Metrics(const std::string& run) {
    std::ifstream in(Path(run) + "/metrics.jsonl");
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
      auto json = nlohmann::ordered_json::parse(line);
      json.erase("samples_per_second");
      json.erase("seconds");
      lines.push_back(json.dump());
    }
    return lines;
  }

  std::string folder_;
  OpRegistry registry_;
};

}  // namespace tamer

#endif  // TAMER_TESTS_TRAIN_FIXTURE_H_
