#ifndef TAMER_CORE_DATA_BATCH_ORDER_H_
#define TAMER_CORE_DATA_BATCH_ORDER_H_

#include <cstdint>
#include <vector>

#include "core/data/dataset.h"

namespace tamer {

// Which samples each minibatch of an epoch has. A function of data, seed and
// epoch alone, so that there is no state to save.
//
// With buckets, samples of like length come together: all are shuffled, then
// put in order of their buckets, and cut in minibatches, which are shuffled
// again. Where a bucket ends within a minibatch, its rest goes with the next
// longer ones; only the epoch's last minibatch is smaller.
class BatchOrder {
 public:
  BatchOrder(const Dataset& data, int64_t batch, bool shuffle, uint64_t seed,
             int buckets);

  // Allocates nothing.
  void SetEpoch(int64_t epoch);
  int64_t batches() const {
    return (static_cast<int64_t>(rows_.size()) + batch_ - 1) / batch_;
  }

  struct Rows {
    const int64_t* rows = nullptr;
    int64_t size = 0;
    // As Batch.length.
    int64_t length = 0;
  };
  Rows at(int64_t index) const;

 private:
  void SortIntoBuckets();
  void ShuffleBatches(int64_t epoch);

  const int64_t batch_;
  const bool shuffle_;
  const uint64_t seed_;
  std::vector<int64_t> rows_;
  // With buckets: their lengths, each sample's, how many samples those before
  // each have; and the order of the minibatches.
  std::vector<int64_t> lengths_;
  std::vector<uint8_t> bucket_;
  std::vector<int64_t> begins_, next_;
  std::vector<int64_t> shuffled_;
  std::vector<int64_t> batch_index_;
};

}  // namespace tamer

#endif  // TAMER_CORE_DATA_BATCH_ORDER_H_
