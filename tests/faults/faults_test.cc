// What happens to files when the process dies at any of its calls, the disk is
// full or read-only, or a file is damaged: nothing is lost, and what goes on
// ends in the very bytes of a run that nothing befell.

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/train/fixture.h"

namespace tamer {
namespace {

constexpr char kStages[] = R"(
name: "small"
graph_file: "network.pbtxt"
data {
  train { idx { images: "train-images" labels: "train-labels" } }
  validation_share: 0.2
}
seed: 3
checkpoint_every_steps: 9
keep_checkpoints: 3
stage {
  name: "features"
  pretrain {
    layer { node: "h1" rbm { persistent: true particles: 10 } }
    layer { node: "h2" autoencoder { corruption { mask: 0.2 } } }
    epochs: 2
  }
  solver { sgd { learning_rate: 0.05 momentum: 0.9 } momentum_ramp {} }
}
stage {
  name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 unfreeze_every: 1
             early_stopping { patience: 2 } }
  solver { adam {} schedule { cosine {} } }
}
)";

struct Outcome {
  int code = -1;  // of the process; 137 if it was killed
  std::string text;
};

class FaultsTest : public TrainTest {
 protected:
  FaultsTest() { Write("recipe.pbtxt", kStages); }

  Outcome Train(const std::string& run, const std::string& environment) {
    const std::string command = absl::StrCat(
        "env OMP_NUM_THREADS=1 ", environment,
        environment.empty() ? "" : " LD_PRELOAD=$PWD/tests/faults/libinject.so",
        " tools/tamer train ", Path("recipe.pbtxt"), " --run ", Path(run),
        " 2>&1");
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    while (size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
      outcome.text.append(buffer.data(), count);
    }
    const int status = pclose(pipe);
    outcome.code =
        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
  }
  // How many calls that change files a whole run makes.
  int CountCalls() {
    EXPECT_EQ(Train("whole", "FAULT_COUNT=" + Path("count")).code, 0);
    return std::stoi(ReadAll(Path("count")));
  }
};

TEST_F(FaultsTest, AKillAtAnyCallLosesNothing) {
  const int calls = CountCalls();
  ASSERT_GT(calls, 200);
  const std::string products = Products("whole");
  const auto metrics = Metrics("whole");
  std::mt19937 random(7);
  // A hundred runs, each killed up to three times: early, late, while
  // continuing.
  for (int i = 0; i < 100; ++i) {
    const std::string run = absl::StrCat("run", i);
    int kills = 0;
    for (; kills < 3; ++kills) {
      const int at = 1 + static_cast<int>(random() % calls);
      const Outcome outcome =
          Train(run, absl::StrCat("FAULT_KIND=kill FAULT_AT=", at));
      if (outcome.code == 0) break;
      ASSERT_EQ(outcome.code, 137) << outcome.text;
    }
    const Outcome last = Train(run, "");
    ASSERT_EQ(last.code, 0) << last.text;
    EXPECT_TRUE(Products(run) == products) << "run " << i;
    EXPECT_EQ(Metrics(run), metrics) << "run " << i;
    // Nothing half-written is left behind.
    for (const std::string& name : ListFolder(Path(run))) {
      EXPECT_FALSE(absl::StrContains(name, "rolling")) << name;
      EXPECT_FALSE(absl::EndsWith(name, ".tmp")) << name;
    }
    ASSERT_EQ(std::system(("rm -rf " + Path(run)).c_str()), 0);
  }
}

TEST_F(FaultsTest, AFullDiskOrAReadOnlyFolderIsSaidAndLosesNothing) {
  const int calls = CountCalls();
  const std::string products = Products("whole");
  std::mt19937 random(8);
  for (const char* kind : {"full", "readonly"}) {
    const char* reason = kind == std::string("full") ? "No space left on device"
                                                     : "Read-only file system";
    for (int i = 0; i < 15; ++i) {
      const std::string run = absl::StrCat(kind, i);
      const int at = i == 0 ? 1 : 1 + static_cast<int>(random() % calls);
      const Outcome outcome =
          Train(run, absl::StrCat("FAULT_KIND=", kind, " FAULT_AT=", at));
      if (outcome.code != 0) {
        EXPECT_EQ(outcome.code, 1) << outcome.text;
        EXPECT_TRUE(absl::StrContains(outcome.text, reason)) << outcome.text;
      }
      const Outcome last = Train(run, "");
      ASSERT_EQ(last.code, 0) << last.text;
      EXPECT_TRUE(Products(run) == products) << run;
    }
  }
}

// Every bit of a rolling checkpoint's manifest, and its tensors cut at every
// block: the one before is taken.
TEST_F(FaultsTest, ADamagedCheckpointIsPassedOver) {
  const int calls = CountCalls();
  std::vector<std::string> rolling;
  for (int at = calls / 2; at < calls && rolling.size() < 2; at += 7) {
    ASSERT_EQ(std::system(("rm -rf " + Path("run")).c_str()), 0);
    rolling.clear();
    ASSERT_EQ(Train("run", absl::StrCat("FAULT_KIND=kill FAULT_AT=", at)).code,
              137);
    for (const std::string& name : ListFolder(Path("run"))) {
      if (absl::StartsWith(name, "rolling") && !absl::EndsWith(name, ".tmp")) {
        rolling.push_back(Path("run/") + name);
      }
    }
  }
  ASSERT_GE(rolling.size(), 2u);
  ASSERT_LE(rolling.size(), 4u);
  const std::string before = rolling[rolling.size() - 2];
  const std::string newest = rolling.back();
  const auto expect_passed_over = [&](const std::string& file,
                                      const std::string& damaged) {
    const std::string sound = ReadAll(file);
    std::ofstream(file, std::ios::binary) << damaged;
    std::string complaint;
    const auto found = LoadRolling(Path("run"), &complaint);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_FALSE(complaint.empty());
    const auto older = LoadCheckpoint(before);
    EXPECT_EQ(found->manifest.progress().step(),
              older->manifest.progress().step());
    std::ofstream(file, std::ios::binary) << sound;
  };
  const std::string manifest = ReadAll(newest + "/manifest.pb");
  for (size_t bit = 0; bit < manifest.size() * 8; ++bit) {
    std::string damaged = manifest;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    expect_passed_over(newest + "/manifest.pb", damaged);
  }
  const std::string tensors = ReadAll(newest + "/tensors.safetensors");
  for (size_t size = 0; size < tensors.size(); size += 512) {
    expect_passed_over(newest + "/tensors.safetensors",
                       tensors.substr(0, size));
  }
  std::mt19937 random(9);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = tensors;
    const size_t bit = random() % (tensors.size() * 8);
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    expect_passed_over(newest + "/tensors.safetensors", damaged);
  }
  // And the run that goes on from the older one ends as ever.
  std::ofstream(newest + "/tensors.safetensors", std::ios::binary) << "x";
  const Outcome last = Train("run", "");
  ASSERT_EQ(last.code, 0) << last.text;
  EXPECT_TRUE(absl::StrContains(last.text, "passed over: "));
  EXPECT_TRUE(Products("run") == Products("whole"));
}

}  // namespace
}  // namespace tamer
