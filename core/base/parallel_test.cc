#include "core/base/parallel.h"

#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tamer {
namespace {

// How often each of n elements is reached by all parts together.
std::vector<int> Reached(int64_t n, int64_t grain, int parts, int team) {
  std::vector<int> reached(n, 0);
  for (int part = 0; part < parts; ++part) {
    std::thread([&] {
      omp_set_num_threads(team);
      const WorkPartScope scope({part, parts});
      ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++reached[i];
      });
    }).join();
  }
  return reached;
}

TEST(ParallelTest, PartsCoverAllAndNothingTwice) {
  for (int64_t n : {0, 1, 15, 16, 17, 100, 5003}) {
    for (int64_t grain : {1, 64, 100000}) {
      for (int parts : {1, 2, 3, 8}) {
        for (int team : {1, 2}) {
          EXPECT_EQ(Reached(n, grain, parts, team), std::vector<int>(n, 1))
              << n << " " << grain << " " << parts << " " << team;
        }
      }
    }
  }
}

TEST(ParallelTest, PartsAreOneTeam) {
  std::set<int> seen;
  int alone = 0;
  for (int part = 0; part < 3; ++part) {
    std::thread([&] {
      omp_set_num_threads(2);
      const WorkPartScope scope({part, 3});
      EXPECT_EQ(TeamSize(), 6);
      OnTeam(/*alone=*/false, [&](int thread, int threads) {
        EXPECT_EQ(threads, 6);
#pragma omp critical
        EXPECT_TRUE(seen.insert(thread).second);
      });
      OnTeam(/*alone=*/true, [&](int thread, int threads) {
        EXPECT_EQ(thread, 0);
        EXPECT_EQ(threads, 1);
        ++alone;
      });
    }).join();
  }
  EXPECT_EQ(seen, std::set<int>({0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(alone, 1);
}

}  // namespace
}  // namespace tamer
