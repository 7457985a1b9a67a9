#include "core/base/random.h"

#if defined(__x86_64__)
// GCC 12 takes its intrinsics' don't-cares for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"

namespace tamer {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr float kUnit = 1.0f / 16777216.0f;  // 2^-24
constexpr int64_t kLanes = 16;               // counters worked on side by side

// Words of 16 consecutive counters, word by word: out[w * kLanes + lane].
void PhiloxLanes(uint64_t key, uint64_t step, uint64_t first, uint32_t* out) {
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t counter = first + i;
    const auto words = Philox(
        {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
         static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32)},
        key);
    for (int w = 0; w < 4; ++w) out[w * kLanes + i] = words[w];
  }
}

#if defined(__x86_64__)
// The same, eight counters a vector, each in the lower half of 64 bits: what a
// multiplication leaves in the upper halves never matters.
__attribute__((target("avx512f"))) void PhiloxLanes512(uint64_t key,
                                                       uint64_t step,
                                                       uint64_t first,
                                                       uint32_t* out) {
  const __m512i m0 = _mm512_set1_epi64(kMultiplier0);
  const __m512i m1 = _mm512_set1_epi64(kMultiplier1);
  const __m512i lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  __m512i c0[2], c1[2], c2[2], c3[2];
  for (int h = 0; h < 2; ++h) {
    c0[h] = _mm512_add_epi64(lanes, _mm512_set1_epi64(first + 8 * h));
    c1[h] = _mm512_maskz_srli_epi64(0xff, c0[h], 32);
    c2[h] = _mm512_set1_epi64(step);
    c3[h] = _mm512_set1_epi64(step >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  constexpr int kXor3 = 0x96;
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512i p0 = _mm512_maskz_mul_epu32(0xff, m0, c0[h]);
      const __m512i p1 = _mm512_maskz_mul_epu32(0xff, m1, c2[h]);
      c0[h] = _mm512_ternarylogic_epi64(_mm512_maskz_srli_epi64(0xff, p1, 32),
                                        c1[h], key0, kXor3);
      c2[h] = _mm512_ternarylogic_epi64(_mm512_maskz_srli_epi64(0xff, p0, 32),
                                        c3[h], key1, kXor3);
      c1[h] = p1;
      c3[h] = p0;
    }
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  const __m512i lower_halves = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16,
                                                14, 12, 10, 8, 6, 4, 2, 0);
  // Whole lines: what is read soon in another width than it was written in must
  // wait until all stores before it are done.
  const auto store = [&](int w, const __m512i(&c)[2])
      __attribute__((target("avx512f"))) {
    _mm512_storeu_si512(out + w * kLanes,
                        _mm512_permutex2var_epi32(c[0], lower_halves, c[1]));
  };
  store(0, c0);
  store(1, c1);
  store(2, c2);
  store(3, c3);
}

using LanesFunction = void (*)(uint64_t, uint64_t, uint64_t, uint32_t*);
LanesFunction FastLanes() {
  return __builtin_cpu_supports("avx512f") ? PhiloxLanes512 : PhiloxLanes;
}
#else
auto FastLanes() { return PhiloxLanes; }
#endif

float ToUnit(uint32_t word) { return static_cast<float>(word >> 8) * kUnit; }

// Signed numbers convert in one instruction, and 24 bits need no sign.
TAMER_VECTORIZED void ToUnits(const uint32_t* words, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<float>(static_cast<int32_t>(words[i] >> 8)) * kUnit;
  }
}

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

void RandomWords(uint64_t key, uint64_t step, int64_t block, uint32_t* out) {
  static_assert(kRandomBlock == 4 * kLanes);
  static const auto lanes = FastLanes();
  lanes(key, step, static_cast<uint64_t>(block) * kLanes, out);
}

void UniformBlock(uint64_t key, uint64_t step, int64_t block, float* out) {
  alignas(64) uint32_t words[kRandomBlock];
  RandomWords(key, step, block, words);
  ToUnits(words, kRandomBlock, out);
}

void FillUniform(uint64_t key, uint64_t step, int64_t n, float* out) {
  ForRandomBlocks(n, kRandomBlock,
                  [&](int64_t block, int64_t begin, int64_t count) {
                    alignas(64) uint32_t words[kRandomBlock];
                    RandomWords(key, step, block, words);
                    ToUnits(words, count, out + begin);
                  });
}

void FillGaussian(uint64_t key, uint64_t step, int64_t n, float* out) {
  ForRandomBlocks(
      n, kRandomBlock, [&](int64_t block, int64_t begin, int64_t count) {
        alignas(64) uint32_t words[kRandomBlock];
        RandomWords(key, step, block, words);
        for (int64_t i = 0; i < count; i += 2) {
          // 1 - u lies in (0, 1], so the logarithm is finite.
          const float radius =
              std::sqrt(-2.0f * std::log(1.0f - ToUnit(words[i])));
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
