#include "core/train/memory_choice.h"

#include <functional>
#include <vector>

#include "gtest/gtest.h"

namespace tamer {
namespace {

// Steps at which it changes, of so many, if a step takes seconds(step, common).
std::vector<int64_t> Changes(
    int64_t steps, const std::function<double(int64_t, bool)>& seconds) {
  MemoryChoice choice;
  bool common = true;
  std::vector<int64_t> changes;
  double now = 100;
  for (int64_t step = 0; step < steps; ++step) {
    now += seconds(step, common);
    if (!choice.AfterStep(now, common)) continue;
    changes.push_back(step);
    common = !common;
  }
  return changes;
}

constexpr int64_t kPeriod = MemoryChoice::kPeriod;

TEST(MemoryChoiceTest, TriesBothAndStaysWithTheFaster) {
  // One memory is faster: tried first, it is taken up again after one period of
  // the other way.
  const auto fast = Changes(
      10 * kPeriod, [](int64_t, bool common) { return common ? 1.0 : 1.5; });
  ASSERT_EQ(fast.size(), 2u);
  EXPECT_EQ(fast[0], kPeriod);
  EXPECT_EQ(fast[1], 2 * kPeriod + 1);
  // And where it is slower, one change is enough.
  const auto slow = Changes(
      10 * kPeriod, [](int64_t, bool common) { return common ? 3.0 : 1.5; });
  EXPECT_EQ(slow.size(), 1u);
}

TEST(MemoryChoiceTest, FollowsAMachineThatChanges) {
  const int64_t then = 20 * kPeriod;
  const auto changes = Changes(40 * kPeriod, [&](int64_t step, bool common) {
    return !common ? 1.5 : step < then ? 1.0 : 3.0;
  });
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_GE(changes[2], then);
  EXPECT_LE(changes[2], then + 2 * kPeriod);
}

TEST(MemoryChoiceTest, TwoThatAreAlikeDoNotTakeTurns) {
  const auto changes = Changes(30 * kPeriod, [](int64_t step, bool common) {
    return (common ? 1.0 : 1.02) + 0.0001 * (step % 7);
  });
  EXPECT_LE(changes.size(), 1u);
}

TEST(MemoryChoiceTest, TriesTheSlowerOneAgainAtTimes) {
  const auto changes = Changes(
      100 * kPeriod, [](int64_t, bool common) { return common ? 1.0 : 1.5; });
  EXPECT_GE(changes.size(), 4u);
  EXPECT_LE(changes.size(), 8u);
}

}  // namespace
}  // namespace tamer
