#ifndef TAMER_CORE_DATA_LOADER_H_
#define TAMER_CORE_DATA_LOADER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/data/augment.h"
#include "core/data/dataset.h"

namespace tamer {

struct LoaderOptions {
  int64_t batch = 10;
  // Whether each epoch has an order of its own, fixed by seed and epoch.
  bool shuffle = true;
  uint64_t seed = 1;
  // Where to begin: this many batches of this epoch are passed over.
  int64_t first_epoch = 0;
  int64_t first_batch = 0;
  // Of so many workers, who take an epoch's batches in turn, this one: of each
  // round one batch, which is empty when the epoch has none left for it.
  int workers = 1;
  int worker = 0;
  // Whether a thread of the loader's own prepares batches ahead. That pays
  // where preparing is dear; scaling samples in memory takes a hundredth of a
  // step, and a thread more than cores would make the others wait for it.
  bool prefetch = false;
  // What changes each sample at random, or null.
  std::shared_ptr<const Augmenter> augment;
  // Whether that may mix samples, too, where it says so.
  bool mix = false;
  // Above 1 samples of like length come together in minibatches of up to so
  // many lengths: see BucketLengths.
  int buckets = 0;
};

// A minibatch. Pointers are valid until the next call of Next(), aligned to 64.
struct Batch {
  // [size, elements of a sample]: scaled features; of INT32 data tokens
  // instead.
  const float* features = nullptr;
  const int32_t* tokens = nullptr;
  const int32_t* labels = nullptr;   // [size] or [size, steps], or null
  const int32_t* lengths = nullptr;  // [size], or null
  // With mixing: what was mixed in, labels and shares of the result, [size]; or
  // null.
  const int32_t* mixed_labels = nullptr;
  const float* mixed_shares = nullptr;
  // Steps in each sample here, where minibatches have several lengths; 0: as
  // many as the data set's samples have.
  int64_t length = 0;
  int64_t size = 0;  // the last of an epoch may be smaller, or of a worker 0
  int64_t epoch = 0;
  int64_t index = 0;  // in the epoch
  bool last_in_epoch = false;
};

// Endless minibatches of a data set, epoch after epoch, each sample once an
// epoch. The order depends on seed and epoch alone, not on prefetching or on
// where it began. Next() allocates nothing and hands over many batches at a
// time from the preparing thread, so that waking up costs little a batch.
class Loader {
 public:
  Loader(std::shared_ptr<const Dataset> data, FeatureScaling scaling,
         const LoaderOptions& options);
  ~Loader();

  const Batch& Next();
  int64_t batches_per_epoch() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The lengths of minibatches (Batch.length) from a data set whose samples'
// lengths are cut in `buckets` parts of one size: multiples of 8 in rising
// order, the last one 0 for as many steps as samples have. The smaller
// minibatch at an epoch's end has that too. {0} without lengths.
std::vector<int64_t> BucketLengths(const Dataset& data, int buckets);

// The order of samples in `epoch`: a permutation of [0, n).
std::vector<int64_t> EpochOrder(int64_t n, uint64_t seed, int64_t epoch);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_LOADER_H_
