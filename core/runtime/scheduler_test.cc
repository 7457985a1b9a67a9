#include "core/runtime/scheduler.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "core/base/allocation_counter.h"
#include "core/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

// A node whose work is a function of the test's, by the node's `factor`.
using Work = std::function<absl::Status(int)>;

class WorkKernel : public Kernel {
 public:
  WorkKernel(const Work* work, int which) : work_(work), which_(which) {}
  absl::Status Run(const KernelArgs& args) override {
    float sum = static_cast<float>(which_);
    for (const Tensor& input : args.inputs) sum += 0.5f * *input.floats();
    *args.outputs[0].floats() = sum;
    return *work_ ? (*work_)(which_) : absl::OkStatus();
  }

 private:
  const Work* work_;
  const int which_;
};

class WorkOp : public TypedOp<op::Scale> {
 public:
  WorkOp(const Work* work, const int* foreign)
      : work_(work), foreign_(foreign) {}
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  absl::Span<const TensorType>) const override {
    Inference result;
    result.outputs.resize(1);
    return result;
  }
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int which = static_cast<int>(Typed(*spec.params).factor());
    if (which == *foreign_) ++foreign_regions;
    return std::make_unique<WorkKernel>(work_, which);
  }

 private:
  const Work* work_;
  const int* foreign_;
};

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() : graph_(&registry_) {
    EXPECT_TRUE(
        registry_.Register(std::make_unique<WorkOp>(&work_, &foreign_)).ok());
  }
  void Add(int which, const std::vector<int>& inputs) {
    op::Scale params;
    params.set_factor(static_cast<float>(which));
    std::vector<std::string> names;
    for (int input : inputs) names.push_back(absl::StrCat("n", input));
    ASSERT_TRUE(graph_.AddNode(absl::StrCat("n", which), params, names).ok());
    last_ = absl::StrCat("n", which);
  }
  std::unique_ptr<Plan> Compile() {
    EXPECT_TRUE(graph_.AddOutput(last_).ok());
    PlanOptions options;
    options.parallel_branches = true;
    auto plan = Plan::Compile(graph_, options, &variables_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *std::move(plan);
  }
  void AddDiamond() {
    Add(0, {});
    Add(1, {0});
    Add(2, {0});
    Add(3, {1, 2});
  }

  Work work_;
  int foreign_ = -1;  // the node whose kernel opens OpenMP regions of its own
  OpRegistry registry_;
  Graph graph_;
  Variables variables_;
  std::string last_;
};

ThreadOptions Threads(int inter_op) {
  ThreadOptions threads;
  threads.intra_op = 1;
  threads.inter_op = inter_op;
  return threads;
}

// Nodes 1 and 2 each wait until the other has begun, which only happens if both
// branches run at once.
TEST_F(SchedulerTest, TheBranchesOfADiamondRunAtOnce) {
  std::mutex mutex;
  std::condition_variable changed;
  int begun = 0;
  work_ = [&](int which) -> absl::Status {
    if (which != 1 && which != 2) return absl::OkStatus();
    std::unique_lock<std::mutex> lock(mutex);
    ++begun;
    changed.notify_all();
    const bool met = changed.wait_for(lock, std::chrono::seconds(20),
                                      [&] { return begun % 2 == 0; });
    return met ? absl::OkStatus() : absl::DeadlineExceededError("alone");
  };
  AddDiamond();
  const auto plan = Compile();
  Scheduler scheduler(Threads(2));
  for (int i = 0; i < 50; ++i) {
    const absl::Status status = scheduler.Run(*plan, i);
    ASSERT_TRUE(status.ok()) << status;
  }
}

TEST_F(SchedulerTest, AnErrorStopsTheRunAndNamesTheNode) {
  std::atomic<int> runs{0};
  work_ = [&](int which) -> absl::Status {
    ++runs;
    return which == 1 ? absl::InvalidArgumentError("no good")
                      : absl::OkStatus();
  };
  AddDiamond();
  const auto plan = Compile();
  for (int inter_op : {1, 2, 4}) {
    Scheduler scheduler(Threads(inter_op));
    for (int i = 0; i < 20; ++i) {
      runs = 0;
      EXPECT_EQ(scheduler.Run(*plan, 0).message(), "node \"n1\": no good");
      EXPECT_LE(runs, 3);  // the last node never runs
    }
  }
  // And the scheduler goes on after an error.
  work_ = nullptr;
  Scheduler scheduler(Threads(2));
  EXPECT_TRUE(scheduler.Run(*plan, 0).ok());
}

TEST_F(SchedulerTest, AnyNumberOfThreadsGivesTheSameResult) {
  for (int i = 0; i < 300; ++i) {
    std::vector<int> inputs;
    for (int k = 0; k < 3 && i > 0; ++k) {
      inputs.push_back(static_cast<int>(RandomBelow(5, k, i, i)));
    }
    Add(i, inputs);
  }
  const auto plan = Compile();
  float expected = 0;
  for (int inter_op : {1, 2, 3, 5}) {
    Scheduler scheduler(Threads(inter_op));
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(scheduler.Run(*plan, i).ok());
      const float seen = plan->FindOutput(last_).floats()[0];
      if (inter_op == 1 && i == 0) expected = seen;
      ASSERT_EQ(seen, expected);
    }
  }
}

TEST_F(SchedulerTest, RunningAllocatesNothing) {
  AddDiamond();
  const auto plan = Compile();
  for (int inter_op : {1, 2}) {
    Scheduler scheduler(Threads(inter_op));
    ASSERT_TRUE(scheduler.Run(*plan, 0).ok());
    const int64_t before = OwnAllocations();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(scheduler.Run(*plan, i).ok());
    }
    EXPECT_EQ(OwnAllocations(), before);
  }
}

// Of OpenMP workers too that were there before any plan ran: denormals would be
// slow on them, and results would depend on the number of threads.
TEST_F(SchedulerTest, EveryThreadTakesDenormalsForZero) {
  const auto denormals_in_team = [] {
    std::atomic<int> count{0};
#pragma omp parallel num_threads(3)
    {
      volatile float tiny = 1e-39f;
      if (tiny * 1.0f != 0) ++count;
    }
    return count.load();
  };
  EXPECT_EQ(denormals_in_team(), 3) << "the team before, in its usual mode";
  int during = -1;
  work_ = [&](int) {
    during = denormals_in_team();
    return absl::OkStatus();
  };
  Add(0, {});
  auto plan = Compile();
  ThreadOptions threads;
  threads.intra_op = 3;
  Scheduler scheduler(threads);
  ASSERT_TRUE(scheduler.Run(*plan, 0).ok());
  EXPECT_EQ(during, 0);
  volatile float tiny = 1e-39f;
  EXPECT_NE(tiny * 1.0f, 0) << "the caller's own mode is back";
}

// Where a team is held, OpenMP's own regions have one thread only.
TEST_F(SchedulerTest, ATeamIsHeldForAllButThoseWithRegionsOfTheirOwn) {
  foreign_ = 3;
  bool held[7], fails = false;
  int regions = 0;
  work_ = [&](int which) -> absl::Status {
    held[which] = team_member.team != nullptr;
    if (which == 3) {
#pragma omp parallel num_threads(2)
#pragma omp atomic
      ++regions;
    }
    return fails && which == 1 ? absl::InvalidArgumentError("no good")
                               : absl::OkStatus();
  };
  Add(0, {});
  for (int i = 1; i < 7; ++i) Add(i, {i - 1});
  const auto plan = Compile();
  ThreadOptions threads;
  threads.intra_op = 2;
  Scheduler scheduler(threads);
  const auto run = [&] {
    ASSERT_TRUE(scheduler.Run(*plan, 0).ok());
    EXPECT_THAT(
        held, testing::ElementsAre(true, true, true, false, true, true, true));
    EXPECT_EQ(regions, 2);
    regions = 0;
    EXPECT_EQ(team_member.team, nullptr);
  };
  run();
  // An error ends a held stretch, and the next run holds it again.
  fails = true;
  EXPECT_EQ(scheduler.Run(*plan, 0).message(), "node \"n1\": no good");
  EXPECT_EQ(team_member.team, nullptr);
  fails = false;
  run();
  const int64_t before = OwnAllocations();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(scheduler.Run(*plan, i).ok());
  EXPECT_EQ(OwnAllocations(), before);
}

}  // namespace
}  // namespace tamer
