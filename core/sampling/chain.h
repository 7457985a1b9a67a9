#ifndef TAMER_CORE_SAMPLING_CHAIN_H_
#define TAMER_CORE_SAMPLING_CHAIN_H_

#include <memory>
#include <string>

#include "core/sampling/stack.h"

namespace tamer {

struct ChainOptions {
  // The layer whose RBM (or autoencoder) runs back and forth; the topmost
  // pretrained one if "".
  std::string layer;
  int64_t samples = 100;
  // Of the chain; at least 1.
  int64_t steps = 1000;
  uint64_t seed = 1;
  // Samples to begin with, [samples, input width], scaled; random units if
  // null.
  const float* start = nullptr;
};

// What a deep belief net dreams: Gibbs chains, one a sample, in the top layer,
// and from their ends one way down to the input, each layer sampled but the
// input, whose means are given: [samples, input width] (Hinton, Osindero and
// Teh 2006, section 4). Same seed, same samples.
absl::StatusOr<std::vector<float>> RunChains(Product* product,
                                             const ChainOptions& options,
                                             Scheduler* scheduler);

}  // namespace tamer

#endif  // TAMER_CORE_SAMPLING_CHAIN_H_
