#include "core/base/random.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"

namespace tamer {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr float kUnit = 1.0f / 16777216.0f;  // 2^-24
constexpr int64_t kLanes = 16;               // counters worked on side by side
constexpr int64_t kGrain = 2048;

// Words of 16 consecutive counters, word by word: out[w][lane]. Written so that
// each line is one vector instruction or a few.
TAMER_VECTORIZED void PhiloxLanes(uint64_t key, uint64_t step, uint64_t first,
                                  uint32_t out[4][kLanes]) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t counter = first + i;
    c0[i] = static_cast<uint32_t>(counter);
    c1[i] = static_cast<uint32_t>(counter >> 32);
    c2[i] = static_cast<uint32_t>(step);
    c3[i] = static_cast<uint32_t>(step >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kLanes; ++i) {
      const uint64_t p0 = static_cast<uint64_t>(kMultiplier0) * c0[i];
      const uint64_t p1 = static_cast<uint64_t>(kMultiplier1) * c2[i];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(p1);
      c3[i] = static_cast<uint32_t>(p0);
      c0[i] = n0;
      c2[i] = n2;
    }
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  for (int i = 0; i < kLanes; ++i) {
    out[0][i] = c0[i];
    out[1][i] = c1[i];
    out[2][i] = c2[i];
    out[3][i] = c3[i];
  }
}

// Calls emit(block_begin, words) for each block of 64 numbers that [begin, end)
// touches, `begin` being a multiple of 16.
template <typename Emit>
void ForBlocks(uint64_t key, uint64_t step, int64_t n, const Emit& emit) {
  constexpr int64_t kBlock = 4 * kLanes;
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  ParallelFor(blocks, kGrain / kBlock, [&](int64_t first, int64_t last) {
    uint32_t words[4][kLanes];
    for (int64_t block = first; block < last; ++block) {
      PhiloxLanes(key, step, static_cast<uint64_t>(block) * kLanes, words);
      emit(block * kBlock, &words[0][0]);
    }
  });
}

float ToUnit(uint32_t word) { return static_cast<float>(word >> 8) * kUnit; }

}  // namespace

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(kMultiplier0) * counter[0];
    const uint64_t p1 = static_cast<uint64_t>(kMultiplier1) * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0,
               static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1,
               static_cast<uint32_t>(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return counter;
}

uint64_t StreamKey(uint64_t seed, absl::string_view name) {
  // FNV-1a over the name, then a final mix (splitmix64) with the seed.
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3;
  hash += seed * 0x9E3779B97F4A7C15;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

void FillUniform(uint64_t key, uint64_t step, int64_t n, float* out) {
  ForBlocks(key, step, n, [&](int64_t begin, const uint32_t* words) {
    const int64_t count = std::min<int64_t>(4 * kLanes, n - begin);
    for (int64_t i = 0; i < count; ++i) out[begin + i] = ToUnit(words[i]);
  });
}

void FillGaussian(uint64_t key, uint64_t step, int64_t n, float* out) {
  ForBlocks(key, step, n, [&](int64_t begin, const uint32_t* words) {
    const int64_t count = std::min<int64_t>(4 * kLanes, n - begin);
    for (int64_t i = 0; i < count; i += 2) {
      // 1 - u lies in (0, 1], so the logarithm is finite.
      const float radius = std::sqrt(-2.0f * std::log(1.0f - ToUnit(words[i])));
      const float angle = 6.28318530717958647692f * ToUnit(words[i + 1]);
      out[begin + i] = radius * std::cos(angle);
      if (i + 1 < count) out[begin + i + 1] = radius * std::sin(angle);
    }
  });
}

uint64_t RandomBelow(uint64_t key, uint64_t step, uint64_t index,
                     uint64_t bound) {
  const auto words =
      Philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
              static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32)},
             key);
  const uint64_t word = static_cast<uint64_t>(words[0]) << 32 | words[1];
  return static_cast<uint64_t>((static_cast<unsigned __int128>(word) * bound) >>
                               64);
}

}  // namespace tamer
