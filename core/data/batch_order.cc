#include "core/data/batch_order.h"

#include <algorithm>

#include "core/base/random.h"
#include "core/data/loader.h"

namespace tamer {
namespace {

// Lengths are multiples of this: a vector's width is 16 numbers.
constexpr int64_t kGrain = 8;

// Fisher and Yates.
void Shuffle(uint64_t key, int64_t epoch, int64_t n, int64_t* order) {
  for (int64_t i = n - 1; i > 0; --i) {
    const uint64_t j =
        RandomBelow(key, static_cast<uint64_t>(epoch), static_cast<uint64_t>(i),
                    static_cast<uint64_t>(i) + 1);
    std::swap(order[i], order[j]);
  }
}

void FillOrder(uint64_t seed, int64_t epoch, std::vector<int64_t>* order) {
  const int64_t n = static_cast<int64_t>(order->size());
  for (int64_t i = 0; i < n; ++i) (*order)[i] = i;
  Shuffle(StreamKey(seed, "shuffle"), epoch, n, order->data());
}

}  // namespace

std::vector<int64_t> EpochOrder(int64_t n, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(n);
  FillOrder(seed, epoch, &order);
  return order;
}

std::vector<int64_t> BucketLengths(const Dataset& data, int buckets) {
  std::vector<int64_t> lengths;
  if (buckets > 1 && !data.lengths.empty()) {
    std::vector<int32_t> sorted = data.lengths;
    std::sort(sorted.begin(), sorted.end());
    const int64_t full = data.sample_shape.dim(0);
    for (int64_t i = 1; i < buckets; ++i) {
      const int64_t longest = sorted[data.size * i / buckets];
      const int64_t length =
          std::max<int64_t>(1, (longest + kGrain - 1) / kGrain) * kGrain;
      if (length >= full) break;
      if (lengths.empty() || length > lengths.back()) lengths.push_back(length);
    }
  }
  lengths.push_back(0);
  return lengths;
}

BatchOrder::BatchOrder(const Dataset& data, int64_t batch, bool shuffle,
                       uint64_t seed, int buckets)
    : batch_(batch),
      shuffle_(shuffle),
      seed_(seed),
      rows_(data.size),
      lengths_(BucketLengths(data, buckets)) {
  if (lengths_.size() < 2) return;
  begins_.assign(lengths_.size() + 1, 0);
  for (int32_t length : data.lengths) {
    size_t bucket = 0;
    while (lengths_[bucket] != 0 && length > lengths_[bucket]) ++bucket;
    bucket_.push_back(static_cast<uint8_t>(bucket));
    ++begins_[bucket + 1];
  }
  for (size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
  next_ = begins_;
  shuffled_.resize(rows_.size());
  batch_index_.resize(batches());
}

void BatchOrder::SetEpoch(int64_t epoch) {
  if (shuffle_) {
    FillOrder(seed_, epoch, &rows_);
  } else {
    for (size_t i = 0; i < rows_.size(); ++i) rows_[i] = i;
  }
  if (bucket_.empty()) return;
  SortIntoBuckets();
  ShuffleBatches(epoch);
}

void BatchOrder::SortIntoBuckets() {
  std::swap(rows_, shuffled_);
  std::copy(begins_.begin(), begins_.end(), next_.begin());
  for (int64_t row : shuffled_) rows_[next_[bucket_[row]]++] = row;
}

void BatchOrder::ShuffleBatches(int64_t epoch) {
  for (size_t i = 0; i < batch_index_.size(); ++i) batch_index_[i] = i;
  // The smaller one stays the last.
  const int64_t whole = static_cast<int64_t>(rows_.size()) / batch_;
  if (shuffle_) {
    Shuffle(StreamKey(seed_, "buckets"), epoch, whole, batch_index_.data());
  }
}

BatchOrder::Rows BatchOrder::at(int64_t index) const {
  if (!batch_index_.empty()) index = batch_index_[index];
  const int64_t begin = index * batch_;
  Rows found;
  found.rows = rows_.data() + begin;
  found.size = std::min(batch_, static_cast<int64_t>(rows_.size()) - begin);
  if (!bucket_.empty() && found.size == batch_) {
    found.length = lengths_[bucket_[found.rows[found.size - 1]]];
  }
  return found;
}

}  // namespace tamer
