#include "core/train/schedule.h"

#include <cmath>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

SolverDef Solver(const std::string& text) {
  SolverDef solver;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &solver));
  return solver;
}

TEST(ScheduleTest, EachKindFollowsItsFormula) {
  const auto rate = [](const std::string& schedule, double t) {
    return LearningRateAt(
        Solver("sgd { learning_rate: 2 } schedule { " + schedule + " }"), t,
        20);
  };
  EXPECT_DOUBLE_EQ(rate("", 7), 2);
  EXPECT_DOUBLE_EQ(rate("constant {}", 7), 2);
  EXPECT_DOUBLE_EQ(rate("step { every: 5 factor: 0.5 }", 4.9), 2);
  EXPECT_DOUBLE_EQ(rate("step { every: 5 factor: 0.5 }", 10), 0.5);
  EXPECT_DOUBLE_EQ(rate("exponential { factor: 0.5 }", 3), 0.25);
  EXPECT_DOUBLE_EQ(rate("inverse { gamma: 0.5 power: 2 }", 2), 0.5);
  EXPECT_DOUBLE_EQ(rate("polynomial { power: 2 }", 10), 0.5);
  EXPECT_DOUBLE_EQ(rate("polynomial { end: 0.5 }", 20), 1);
  EXPECT_DOUBLE_EQ(rate("cosine {}", 10), 1);
  EXPECT_NEAR(rate("cosine { end: 0.25 }", 20), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(rate("warmup: 4", 1), 0.5);
  EXPECT_DOUBLE_EQ(rate("warmup: 4", 4), 2);
  // After the warm-up the schedule begins, and still ends with the stage.
  EXPECT_NEAR(rate("cosine {} warmup: 4", 12), 1, 1e-12);
}

TEST(ScheduleTest, TheBaseRateIsEachRulesOwn) {
  EXPECT_FLOAT_EQ(LearningRateAt(Solver("nesterov { learning_rate: 3 }"), 0, 1),
                  3);
  EXPECT_FLOAT_EQ(LearningRateAt(Solver("adam {}"), 0, 1), 0.001f);
  EXPECT_FLOAT_EQ(LearningRateAt(Solver("adamw {}"), 0, 1), 0.001f);
  EXPECT_FLOAT_EQ(LearningRateAt(Solver("rmsprop {}"), 0, 1), 0.001f);
  EXPECT_FLOAT_EQ(LearningRateAt(Solver("adagrad {}"), 0, 1), 0.01f);
}

TEST(ScheduleTest, MomentumRampsOrJumps) {
  const std::string base = "nesterov { momentum: 0.9 } ";
  EXPECT_FLOAT_EQ(MomentumAt(Solver(base), 0), 0.9f);
  const SolverDef ramp =
      Solver(base + "momentum_ramp { start: 0.5 epochs: 4 }");
  EXPECT_FLOAT_EQ(MomentumAt(ramp, 0), 0.5f);
  EXPECT_FLOAT_EQ(MomentumAt(ramp, 2), 0.7f);
  EXPECT_FLOAT_EQ(MomentumAt(ramp, 4), 0.9f);
  const SolverDef jump =
      Solver(base + "momentum_ramp { epochs: 5 jump: true }");
  EXPECT_FLOAT_EQ(MomentumAt(jump, 4.99), 0.5f);
  EXPECT_FLOAT_EQ(MomentumAt(jump, 5), 0.9f);
  EXPECT_EQ(MomentumAt(Solver("adam {}"), 0), 0);
}

TEST(ScheduleTest, SenselessNumbersAreNamed) {
  EXPECT_EQ(CheckSchedule(Solver("schedule { step { every: 0 } }")).message(),
            "schedule: step.every is 0; it must be above 0 epochs");
  EXPECT_EQ(CheckSchedule(Solver("schedule { warmup: nan }")).message(),
            "schedule: warmup is nan; it must be at least 0 epochs");
  EXPECT_EQ(CheckSchedule(Solver("momentum_ramp { start: 1 }")).message(),
            "schedule: momentum_ramp.start is 1; it must be in [0, 1)");
  EXPECT_TRUE(CheckSchedule(Solver("adam {}")).ok());
}

}  // namespace
}  // namespace tamer
