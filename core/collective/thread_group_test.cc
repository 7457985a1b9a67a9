#include "core/collective/thread_group.h"

#include <thread>

#include "gtest/gtest.h"

namespace tamer {
namespace {

// Runs work(member) in a thread for each worker.
template <typename Work>
void OnEach(std::vector<std::unique_ptr<Collective>>* group, const Work& work) {
  std::vector<std::thread> threads;
  for (auto& member : *group) {
    threads.emplace_back([&] { work(*member); });
  }
  for (std::thread& thread : threads) thread.join();
}

// Numbers whose sum depends on its order.
float Number(int rank, int64_t i) {
  return (rank % 2 == 0 ? 1e7f : -0.3f) * static_cast<float>(i % 13 + rank);
}

TEST(ThreadGroupTest, SumsInTheOrderOfRanksHoweverOften) {
  for (int size : {1, 2, 3, 8}) {
    for (int64_t n : {0, 1, 5, 1000, 5003}) {
      std::vector<float> expected(n);
      for (int64_t i = 0; i < n; ++i) {
        expected[i] = Number(0, i);
        for (int r = 1; r < size; ++r) expected[i] += Number(r, i);
      }
      auto group = MakeThreadGroup(size);
      OnEach(&group, [&](Collective& member) {
        for (int round = 0; round < 20; ++round) {
          std::vector<float> data(n);
          for (int64_t i = 0; i < n; ++i) data[i] = Number(member.rank(), i);
          ASSERT_TRUE(member.AllReduceSum(data.data(), n).ok());
          ASSERT_EQ(data, expected) << "worker " << member.rank();
        }
      });
    }
  }
}

TEST(ThreadGroupTest, BroadcastsFromAnyRoot) {
  auto group = MakeThreadGroup(3);
  OnEach(&group, [&](Collective& member) {
    for (int root = 0; root < 3; ++root) {
      int value = 100 + member.rank();
      ASSERT_TRUE(member.Broadcast(&value, sizeof(value), root).ok());
      EXPECT_EQ(value, 100 + root);
    }
  });
}

TEST(ThreadGroupTest, GathersEachOnesBytes) {
  for (int size : {1, 2, 5}) {
    auto group = MakeThreadGroup(size);
    OnEach(&group, [&](Collective& member) {
      for (int round = 0; round < 50; ++round) {
        std::vector<int> all(3 * size, -1);
        for (int i = 0; i < 3; ++i) {
          all[3 * member.rank() + i] = round + 10 * member.rank() + i;
        }
        ASSERT_TRUE(member.AllGather(all.data(), 3 * sizeof(int)).ok());
        for (int i = 0; i < 3 * size; ++i) {
          ASSERT_EQ(all[i], round + 10 * (i / 3) + i % 3);
        }
        ASSERT_TRUE(member.Barrier().ok());  // before `all` goes
      }
    });
  }
}

TEST(ThreadGroupTest, AWorkerThatLeavesIsNamedToThoseWhoWait) {
  auto group = MakeThreadGroup(3);
  OnEach(&group, [&](Collective& member) {
    ASSERT_TRUE(member.Barrier().ok());
    if (member.rank() == 1) return member.Abandon();
    float one = 1;
    const absl::Status status = member.AllReduceSum(&one, 1);
    EXPECT_EQ(status.message(), "worker 1 left the group");
    EXPECT_FALSE(member.Barrier().ok());
  });
}

}  // namespace
}  // namespace tamer
