#include <cmath>
#include <thread>

#include "core/collective/thread_group.h"
#include "core/parallel/averaging.h"
#include "core/parallel/cost.h"
#include "core/parallel/rates.h"
#include "core/parallel/share.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

ParallelDef Def(const std::string& text) {
  ParallelDef def;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &def));
  return def;
}

float* Add(Variables* variables, const std::string& name,
           const std::vector<float>& values) {
  const int64_t n = static_cast<int64_t>(values.size());
  const Tensor tensor = *variables->Add(name, {DType::kFloat, Shape({n})});
  std::copy(values.begin(), values.end(), tensor.floats());
  return tensor.floats();
}

// Runs work(rank's member, its variables) in a thread for each worker.
template <typename Work>
void OnWorkers(int size, std::vector<Variables>* variables, const Work& work) {
  auto group = MakeThreadGroup(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back(
        [&, rank] { work(*group[rank], &(*variables)[rank]); });
  }
  for (std::thread& thread : threads) thread.join();
}

constexpr int kWorkers = 3;
const WorkerVariables kNames = {{"w"}, {"v"}};

// Each worker r begins with w = {1, 2} and v = {r, 0}; in each of `periods`
// periods it adds {r + 1, -r} to w and trains on r + 1 samples.
std::vector<Variables> RunPeriods(const std::string& def, int periods) {
  std::vector<Variables> variables(kWorkers);
  for (int r = 0; r < kWorkers; ++r) {
    Add(&variables[r], "w", {1, 2});
    Add(&variables[r], "v", {static_cast<float>(r), 0});
  }
  OnWorkers(kWorkers, &variables, [&](Collective& group, Variables* own) {
    auto averaging = Averaging::Make(Def(def), kNames, &group, own);
    ASSERT_TRUE(averaging.ok());
    const int r = group.rank();
    for (int period = 0; period < periods; ++period) {
      own->Find("w")->floats()[0] += r + 1;
      own->Find("w")->floats()[1] -= r;
      Ballot ballot;
      ballot.samples = r + 1;
      ballot.stop = r == 2;
      ASSERT_TRUE((*averaging)->Combine(&ballot).ok());
      EXPECT_EQ(ballot.samples, 6);
      EXPECT_EQ(ballot.stop, 1);
    }
    ASSERT_TRUE((*averaging)->Settle().ok());
  });
  return variables;
}

float W(const std::vector<Variables>& variables, int rank, int i = 0) {
  return variables[rank].Find("w")->floats()[i];
}
float V(const std::vector<Variables>& variables, int rank) {
  return variables[rank].Find("v")->floats()[0];
}

// The mean of r + 1, weighted by r + 1, over three workers; and of -r.
constexpr float kMove = 14.0f / 6, kOther = -8.0f / 6;

TEST(AveragingTest, WeightsWorkersBySamples) {
  const auto variables = RunPeriods("averaging {}", 2);
  for (int r = 0; r < kWorkers; ++r) {
    EXPECT_NEAR(W(variables, r), 1 + 2 * kMove, 1e-5);
    EXPECT_NEAR(W(variables, r, 1), 2 + 2 * kOther, 1e-5);
    EXPECT_NEAR(V(variables, r), 8.0 / 6, 1e-6);  // averaged, too
    EXPECT_EQ(W(variables, r), W(variables, 0));
  }
}

TEST(AveragingTest, TheOptimizersStateMayStayOrBeginAgain) {
  const auto kept = RunPeriods("averaging {} optimizer_state: KEEP", 1);
  const auto reset = RunPeriods("averaging {} optimizer_state: RESET", 1);
  for (int r = 0; r < kWorkers; ++r) {
    EXPECT_EQ(V(kept, r), r);
    EXPECT_EQ(V(reset, r), 0);
  }
}

TEST(AveragingTest, OuterSteps) {
  for (const bool nesterov : {true, false}) {
    const auto variables = RunPeriods(
        nesterov ? "outer { rate: 0.7 momentum: 0.9 }" : "block_momentum {}",
        3);
    const double momentum = nesterov ? 0.9 : 1 - 1.0 / kWorkers;
    double w = 1, v = 0;
    for (int period = 0; period < 3; ++period) {
      v = momentum * v + kMove;
      w += nesterov ? 0.7 * (kMove + momentum * v) : v;
    }
    for (int r = 0; r < kWorkers; ++r) EXPECT_NEAR(W(variables, r), w, 1e-4);
  }
}

TEST(AveragingTest, ElasticWorkersAndTheirCenter) {
  auto variables = RunPeriods("elastic { alpha: 0.2 }", 2);
  double own[kWorkers] = {1, 1, 1}, center = 1;
  for (int period = 0; period < 2; ++period) {
    double pull = 0;
    for (int r = 0; r < kWorkers; ++r) {
      own[r] += r + 1;
      pull += own[r] - center;
    }
    for (double& x : own) x -= 0.2 * (x - center);
    center += 0.2 * pull;
  }
  for (int r = 0; r < kWorkers; ++r) {
    EXPECT_NEAR(W(variables, r), own[r], 1e-5);
    EXPECT_NEAR(variables[r].Find("parallel/anchor")->floats()[0], center,
                1e-5);
  }
}

// What rounding takes away is not lost: many small moves arrive in the end.
TEST(AveragingTest, CompressionFeedsItsErrorBack) {
  std::vector<Variables> variables(2);
  for (Variables& own : variables) {
    Add(&own, "w", {1});
    Add(&own, "v", {0});
  }
  OnWorkers(2, &variables, [&](Collective& group, Variables* own) {
    auto averaging = Averaging::Make(Def("averaging {} compress: true"), kNames,
                                     &group, own);
    ASSERT_TRUE(averaging.ok());
    for (int period = 0; period < 1000; ++period) {
      // Not a number of bfloat16.
      own->Find("w")->floats()[0] += group.rank() == 0 ? 0.001001f : 0.003003f;
      Ballot ballot;
      ballot.samples = 1;
      ASSERT_TRUE((*averaging)->Combine(&ballot).ok());
    }
  });
  EXPECT_NEAR(W(variables, 0), 1 + 2.002, 2e-2);
  EXPECT_EQ(W(variables, 0), W(variables, 1));
}

TEST(AveragingTest, OverlapArrivesAPeriodLater) {
  const auto variables = RunPeriods("averaging {} overlap: true", 4);
  for (int r = 0; r < kWorkers; ++r) {
    EXPECT_EQ(W(variables, r), W(variables, 0));
    // Settled by an unweighted mean of what each moved last: 2.
    EXPECT_NEAR(W(variables, r), 1 + 4 * kMove, 0.5);
  }
}

TEST(RatesTest, CorrectionsAndTheirReasons) {
  EXPECT_EQ(CorrectRate(Def("learning_rate_correction: SCALE"), 4).factor, 4);
  EXPECT_EQ(CorrectRate(Def("learning_rate_correction: DIVIDE"), 4).factor,
            0.25);
  EXPECT_EQ(CorrectRate(Def("learning_rate_correction: NONE"), 4).factor, 1);
  EXPECT_EQ(CorrectRate(Def(""), 1).factor, 1);
  EXPECT_EQ(CorrectRate(Def("average_every: 1"), 4).factor, 4);
  EXPECT_EQ(CorrectRate(Def("average_every: 1000"), 4).factor, 4);
  EXPECT_EQ(CorrectRate(Def("average_every: 1"), 16).factor, 16);
  EXPECT_EQ(CorrectRate(Def("average_every: 10"), 16).factor, 8);
  EXPECT_EQ(CorrectRate(Def("elastic {}"), 4).factor, 1);
  EXPECT_EQ(CorrectRate(Def("outer {} average_every: 10"), 4).factor, 1);
  EXPECT_FALSE(CorrectRate(Def(""), 4).why.empty());
}

TEST(RatesTest, MistakesAreNamed) {
  EXPECT_EQ(CheckParallel(Def("average_every: 0")).message(),
            "parallel: average_every is 0; it must be 1 or more steps");
  EXPECT_EQ(CheckParallel(Def("gradients {} average_every: 5")).message(),
            "parallel: gradients are averaged in every step; leave out "
            "average_every, or use averaging {}");
  EXPECT_FALSE(CheckParallel(Def("outer { momentum: 1 }")).ok());
  EXPECT_FALSE(CheckParallel(Def("elastic {} overlap: true")).ok());
  EXPECT_FALSE(CheckParallel(Def("workers: 0")).ok());
  EXPECT_TRUE(CheckParallel(Def("workers: 0 transport: MPI")).ok());
}

TEST(ShareTest, TheFirstWorkersVariablesReachAll) {
  std::vector<Variables> variables(2);
  Add(&variables[0], "a", {1, 2, 3});
  Add(&variables[1], "b", {9});
  OnWorkers(2, &variables, [&](Collective& group, Variables* own) {
    ASSERT_TRUE(ShareVariables(&group, own).ok());
  });
  EXPECT_EQ(variables[1].Find("b"), nullptr);
  ASSERT_NE(variables[1].Find("a"), nullptr);
  EXPECT_EQ(variables[1].Find("a")->floats()[2], 3);
}

TEST(ShareTest, WhatIsAWorkersOwnSurvivesAnotherNumberOfWorkers) {
  std::vector<Variables> variables(4);
  for (int r = 0; r < 2; ++r) Add(&variables[r], "v", {10.0f + r});
  OnWorkers(2, &variables, [&](Collective& group, Variables* own) {
    ASSERT_TRUE(GatherOwn(&group, {"v"}, own).ok());
  });
  ASSERT_NE(variables[0].Find("worker/1/v"), nullptr);
  OnWorkers(4, &variables, [&](Collective& group, Variables* own) {
    ASSERT_TRUE(ShareVariables(&group, own).ok());
    TakeOwn(&group, own);
  });
  for (int r = 0; r < 4; ++r) {
    EXPECT_EQ(variables[r].Find("v")->floats()[0], 10 + r % 2);
    EXPECT_EQ(variables[r].Find("worker/1/v"), nullptr);
  }
}

// 4 workers, a link of 8 MB/s: 6 messages of what is summed, 3 of what is
// gathered.
TEST(CostTest, CountsWhatEachSends) {
  Network network;
  network.bits_per_second = 64e6;
  network.seconds_per_message = 0.01;
  const ParallelDef def = Def("gradients {}");
  const ScalingForecast both =
      ForecastScaling(def, 4, {4000000, 1000000}, 1.0, network);
  EXPECT_DOUBLE_EQ(both.bytes_sent, 6e6 + 3e6);
  EXPECT_DOUBLE_EQ(both.averaging_seconds, 9e6 / 8e6 + 0.09);
  EXPECT_DOUBLE_EQ(both.speedup, 4 / (1 + both.averaging_seconds));
  const ScalingForecast gathered =
      ForecastScaling(def, 4, {0, 1000000}, 1.0, network);
  EXPECT_DOUBLE_EQ(gathered.averaging_seconds, 3e6 / 8e6 + 0.03);
  const ScalingForecast seldom =
      ForecastScaling(Def("averaging {} average_every: 10 compress: true"), 4,
                      {4000000, 0}, 1.0, network);
  EXPECT_DOUBLE_EQ(seldom.bytes_sent, 3e6);
  EXPECT_DOUBLE_EQ(seldom.step_seconds, 1 + (3e6 / 8e6 + 0.06) / 10);
}

TEST(ShareTest, WorkersOfOneProcessShareMemoryAndGetTheirOwnBack) {
  Variables first, second;
  Add(&first, "w", {1, 2});
  Add(&second, "w", {1, 2});
  second.ShareMemory("w", first);
  first.Find("w")->floats()[1] = 5;
  EXPECT_EQ(second.Find("w")->floats()[1], 5);
  second.OwnMemory("w");
  first.Find("w")->floats()[1] = 6;
  EXPECT_EQ(second.Find("w")->floats()[1], 5);
}

TEST(ShareTest, WhoDiffersIsTold) {
  std::vector<Variables> variables(3);
  OnWorkers(3, &variables, [&](Collective& group, Variables*) {
    EXPECT_TRUE(CheckAlike(&group, {{"recipe", "a"}}).ok());
    const std::string version = group.rank() == 2 ? "2" : "1";
    const absl::Status status =
        CheckAlike(&group, {{"recipe", "a"}, {"version", version}});
    EXPECT_EQ(
        status.message(),
        group.rank() == 2
            ? "worker 2 differs from worker 0 in its version; all workers "
              "must be started alike, with the same files"
            : "worker 2 differs from worker 0; its own message tells in "
              "what");
    const absl::Status shared = ShareStatus(
        &group, group.rank() == 0 ? Invalid("no room") : absl::OkStatus());
    EXPECT_EQ(shared.message(),
              group.rank() == 0 ? "no room" : "worker 0: no room");
  });
}

}  // namespace
}  // namespace tamer
