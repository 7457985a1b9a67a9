#include "core/base/random.h"

#include <omp.h>

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace tamer {
namespace {

// Known answers of Random123's kat_vectors for philox4x32-10.
TEST(RandomTest, PhiloxGivesThePublishedVectors) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, 0),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c,
                                     0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(Philox({ones, ones, ones, ones}, ~uint64_t{0}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6,
                                     0x6d5451fd}));
  EXPECT_EQ(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                   0x299f31d0a4093822),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420,
                                     0x24126ea1}));
}

TEST(RandomTest, FillsAreTheGeneratorsWords) {
  std::vector<float> out(200);
  FillUniform(42, 7, out.size(), out.data());
  for (uint32_t i = 0; i < out.size(); ++i) {
    // Blocks of 16 counters, word by word.
    const uint32_t block = i / 64, word = i % 64 / 16, lane = i % 16;
    const auto words = Philox({block * 16 + lane, 0, 7, 0}, 42);
    EXPECT_EQ(out[i], static_cast<float>(words[word] >> 8) / 16777216.0f);
  }
}

TEST(RandomTest, AnyNumberOfThreadsGivesTheSameNumbers) {
  const int64_t n = 100003;
  std::vector<float> one(n), two(n);
  const int threads = omp_get_max_threads();
  for (auto* fill : {&FillUniform, &FillGaussian}) {
    omp_set_num_threads(1);
    (*fill)(1, 2, n, one.data());
    omp_set_num_threads(3);
    (*fill)(1, 2, n, two.data());
    EXPECT_EQ(one, two);
  }
  omp_set_num_threads(threads);
}

TEST(RandomTest, MomentsAreRight) {
  const int64_t n = 1 << 20;
  std::vector<float> out(n);
  const auto moments = [&] {
    double sum = 0, squares = 0;
    for (float x : out) {
      sum += x;
      squares += double{x} * x;
    }
    const double mean = sum / n;
    return std::make_pair(mean, squares / n - mean * mean);
  };
  FillUniform(3, 0, n, out.data());
  EXPECT_NEAR(moments().first, 0.5, 2e-3);
  EXPECT_NEAR(moments().second, 1.0 / 12, 1e-3);
  FillGaussian(3, 1, n, out.data());
  EXPECT_NEAR(moments().first, 0, 4e-3);
  EXPECT_NEAR(moments().second, 1, 6e-3);
}

TEST(RandomTest, StreamsDiffer) {
  EXPECT_NE(StreamKey(1, "h1"), StreamKey(1, "h2"));
  EXPECT_NE(StreamKey(1, "h1"), StreamKey(2, "h1"));
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_LT(RandomBelow(9, 9, i, 10), 10u);
}

}  // namespace
}  // namespace tamer
