#ifndef TAMER_CORE_BASE_RANDOM_H_
#define TAMER_CORE_BASE_RANDOM_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "core/base/parallel.h"

namespace tamer {

// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel
// random numbers: as easy as 1, 2, 3"). There is no state to save or to share:
// a stream (seed and name), a step and an index give the same number on every
// run, on any number of threads and after every resume.

// One block of the generator: four independent 32-bit words.
std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, uint64_t key);

// A key for the stream called `name` under `seed`; stable between releases.
uint64_t StreamKey(uint64_t seed, absl::string_view name);

// Fills out[0, n) with numbers uniform on [0, 1), multiples of 2^-24. Element i
// depends on key, step and i alone; runs on the OpenMP team.
void FillUniform(uint64_t key, uint64_t step, int64_t n, float* out);

// Calls body(block, begin, elements) for each `size` of [0, n), on the team.
template <typename Body>
void ForRandomBlocks(int64_t n, int64_t size, const Body& body) {
  constexpr int64_t kGrain = 2048;  // elements
  ParallelFor((n + size - 1) / size, kGrain / size,
              [&](int64_t block, int64_t end) {
                for (; block < end; ++block) {
                  body(block, block * size, std::min(size, n - block * size));
                }
              });
}

// The `block`-th 64 of FillUniform's numbers, on this thread.
constexpr int64_t kRandomBlock = 64;
void UniformBlock(uint64_t key, uint64_t step, int64_t block, float* out);

// The 64 words that those numbers are made of.
void RandomWords(uint64_t key, uint64_t step, int64_t block, uint32_t* out);

// Fills out[0, n) with standard normal numbers (Box and Muller 1958).
void FillGaussian(uint64_t key, uint64_t step, int64_t n, float* out);

// The `index`-th number of the stream below `bound`, without bias to speak of
// (64 bits against bound).
uint64_t RandomBelow(uint64_t key, uint64_t step, uint64_t index,
                     uint64_t bound);

}  // namespace tamer

#endif  // TAMER_CORE_BASE_RANDOM_H_
