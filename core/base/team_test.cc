#include "core/base/team.h"

#include <set>
#include <thread>
#include <vector>

#include "core/base/parallel.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

// Jobs of all sizes, one right after another: each thread does its own part of
// each once, and sees what was written between them.
TEST(TeamTest, EachJobIsDoneOnceByAll) {
  for (int size : {1, 2, 3, 5}) {
    Team team(size);
    for (int held = 0; held < 3; ++held) {
      std::vector<int> done(size, 0), wanted(size, 0);
      team.Hold([&] {
        for (int job = 0; job < 200; ++job) {
          const int threads = 1 + job % size;
          OnThreads(threads, [&](int thread, int of) {
            ASSERT_EQ(of, threads);
            done[thread] += job;
          });
          for (int t = 0; t < threads; ++t) wanted[t] += job;
          ASSERT_EQ(done, wanted);
        }
      });
    }
  }
}

TEST(TeamTest, ABarrierWaitsForAll) {
  Team team(3);
  team.Hold([&] {
    for (int job = 0; job < 50; ++job) {
      int written[3] = {0, 0, 0};
      OnThreads(3, [&](int thread, int) {
        for (int round = 1; round < 20; ++round) {
          written[thread] = round;
          TeamBarrier();
          for (int one : written) ASSERT_EQ(one, round);
          TeamBarrier();
        }
      });
    }
  });
}

TEST(TeamTest, WorkOfOneThreadNeedsNoTeam) {
  Team team(2);
  team.Hold([&] {
    int ran = 0;
    OnTeam(/*alone=*/true, [&](int thread, int threads) {
      TeamBarrier();
      ran += 1 + thread + threads;
    });
    EXPECT_EQ(ran, 2);
    // Within a job, work isn't cut again.
    std::vector<int> inner(2, 0);
    OnThreads(2, [&](int thread, int) {
      ParallelFor(100, 1, [&](int64_t begin, int64_t end) {
        inner[thread] += static_cast<int>(end - begin);
      });
    });
    EXPECT_EQ(inner, (std::vector<int>{100, 100}));
  });
}

TEST(TeamTest, HoldsTheThreadsThatOpenMpUses) {
  omp_set_num_threads(2);
  std::set<std::thread::id> regions;
#pragma omp parallel num_threads(2)
  {
#pragma omp critical
    regions.insert(std::this_thread::get_id());
  }
  std::thread::id seen[2];
  Team team(2);
  team.Hold([&] {
    OnTeam(/*alone=*/false,
           [&](int thread, int) { seen[thread] = std::this_thread::get_id(); });
  });
  EXPECT_EQ(std::set<std::thread::id>(seen, seen + 2), regions);
  EXPECT_EQ(team_member.team, nullptr);
}

}  // namespace
}  // namespace tamer
