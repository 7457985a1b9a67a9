#include "core/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/base/tensor.h"
#include "core/data/batch_order.h"

namespace tamer {
namespace {

// Batches are handed over in chunks of about this many bytes: waking a thread
// costs as much as a small batch.
constexpr int64_t kChunkBytes = 512 * 1024;
constexpr int kChunks = 3;
// Numbers that are worth waking other threads for.
constexpr int64_t kGrain = 1 << 12;

}  // namespace

class Loader::Impl {
 public:
  Impl(std::shared_ptr<const Dataset> data, FeatureScaling scaling,
       const LoaderOptions& options)
      : data_(std::move(data)),
        scaling_(std::move(scaling)),
        options_(options),
        key_(StreamKey(options.seed, "augment")),
        order_(*data_, options.batch, options.shuffle, options.seed,
               options.buckets),
        per_epoch_(order_.batches()),
        epoch_(options.first_epoch),
        index_(options.first_batch) {
    // A position at the end of an epoch is the next one's beginning.
    epoch_ += index_ / per_epoch_;
    index_ %= per_epoch_;
    const int64_t width = data_->sample_elements();
    const int64_t floats = Aligned(options.batch * width * 4);
    // Without a thread a batch is made when it is asked for.
    const int64_t per_chunk =
        options.prefetch
            ? std::min<int64_t>(64, std::max<int64_t>(1, kChunkBytes / floats))
            : 1;
    for (Chunk& chunk : chunks_) {
      chunk.features = Buffer(per_chunk * floats);
      const int64_t labels =
          Aligned(options.batch * data_->labels_per_sample * 4);
      const int64_t lengths = Aligned(options.batch * 4);
      chunk.labels = Buffer(per_chunk * labels);
      chunk.lengths = Buffer(per_chunk * lengths);
      chunk.batches.resize(per_chunk);
      const bool mixes = Mixes() && !data_->labels.empty();
      if (mixes) chunk.mixed = Buffer(per_chunk * 2 * lengths);
      for (int64_t i = 0; i < per_chunk; ++i) {
        Batch& batch = chunk.batches[i];
        char* features = static_cast<char*>(chunk.features.data()) + i * floats;
        if (data_->dtype == DType::kInt32) {
          batch.tokens = reinterpret_cast<int32_t*>(features);
        } else {
          batch.features = reinterpret_cast<float*>(features);
        }
        if (!data_->labels.empty()) {
          batch.labels =
              static_cast<int32_t*>(chunk.labels.data()) + i * labels / 4;
        }
        if (!data_->lengths.empty()) {
          batch.lengths =
              static_cast<int32_t*>(chunk.lengths.data()) + i * lengths / 4;
        }
        if (mixes) {
          char* mixed =
              static_cast<char*>(chunk.mixed.data()) + 2 * i * lengths;
          batch.mixed_labels = reinterpret_cast<int32_t*>(mixed);
          batch.mixed_shares = reinterpret_cast<float*>(mixed + lengths);
        }
      }
    }
    if (options.augment != nullptr) {
      scratch_stride_ = Aligned(options.augment->scratch_floats() * 4) / 4;
      threads_ = options.prefetch ? 1 : omp_get_max_threads();
      scratch_ = Buffer(threads_ * scratch_stride_ * 4);
    }
    order_.SetEpoch(epoch_);
    if (options.prefetch) thread_ = std::thread([this] { Prefetch(); });
  }

  ~Impl() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      quit_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  const Batch& Next() {
    Chunk* chunk = &chunks_[reading_];
    if (taken_ == chunk->batches.size() || !begun_) {
      if (begun_) GiveBack();
      begun_ = true;
      taken_ = 0;
      chunk = &chunks_[reading_];
      AwaitFull(chunk);
    }
    return chunk->batches[taken_++];
  }

  int64_t per_epoch() const { return per_epoch_; }

 private:
  struct Chunk {
    Buffer features, labels, lengths, mixed;
    std::vector<Batch> batches;
    bool full = false;
  };

  bool Mixes() const {
    return options_.mix && options_.augment != nullptr &&
           options_.augment->mixes();
  }

  void GiveBack() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      chunks_[reading_].full = false;
    }
    if (options_.prefetch) changed_.notify_all();
    reading_ = (reading_ + 1) % kChunks;
  }

  void AwaitFull(Chunk* chunk) {
    if (!options_.prefetch) return Fill(chunk);
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return chunk->full; });
  }

  void Prefetch() {
    for (int writing = 0;; writing = (writing + 1) % kChunks) {
      Chunk& chunk = chunks_[writing];
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return quit_ || !chunk.full; });
        if (quit_) return;
      }
      Fill(&chunk);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        chunk.full = true;
      }
      changed_.notify_all();
    }
  }

  void Fill(Chunk* chunk) {
    for (Batch& batch : chunk->batches) FillBatch(&batch);
  }

  void FillBatch(Batch* batch) {
    // Workers take the batches of an epoch in turn; the last of them may find
    // none left.
    const int64_t own = index_ + options_.worker;
    const bool none = own >= per_epoch_;
    const BatchOrder::Rows rows = none ? BatchOrder::Rows() : order_.at(own);
    // Of minibatches with fewer steps the first ones of each sample.
    const int64_t steps = rows.length;
    const int64_t full = steps > 0 ? data_->sample_shape.dim(0) : 1;
    const int64_t width =
        data_->sample_elements() / full * std::max<int64_t>(1, steps);
    const bool each_step = steps > 0 && data_->labels_per_sample == full;
    if (batch->tokens != nullptr) {
      CopyRows(data_->tokens, data_->sample_elements(), rows, width,
               batch->tokens);
    } else if (options_.augment != nullptr) {
      Augment(rows, batch);
    } else {
      FillFeatures(rows, width, const_cast<float*>(batch->features));
    }
    CopyRows(data_->labels, data_->labels_per_sample, rows,
             each_step ? steps : data_->labels_per_sample, batch->labels);
    CopyRows(data_->lengths, 1, rows, 1, batch->lengths);
    batch->length = steps;
    batch->size = rows.size;
    batch->epoch = epoch_;
    batch->index = own;
    index_ += options_.workers;
    batch->last_in_epoch = index_ >= per_epoch_;
    if (batch->last_in_epoch) {
      index_ = 0;
      ++epoch_;
      if (options_.shuffle) order_.SetEpoch(epoch_);
    }
  }

  // The first `width` numbers of each row of `from`, which has `stride`.
  static void CopyRows(const std::vector<int32_t>& from, int64_t stride,
                       const BatchOrder::Rows& rows, int64_t width,
                       const int32_t* to) {
    if (from.empty()) return;
    int32_t* out = const_cast<int32_t*>(to);
    for (int64_t i = 0; i < rows.size; ++i) {
      std::memcpy(out + i * width, from.data() + rows.rows[i] * stride,
                  width * sizeof(int32_t));
    }
  }

  void FillFeatures(const BatchOrder::Rows& rows, int64_t width,
                    float* features) const {
    BatchOrder::Rows after;
    const int64_t next = index_ + options_.worker + options_.workers;
    if (next < per_epoch_) after = order_.at(next);
    const bool alone = options_.prefetch || rows.size * width < kGrain;
    OnTeam(alone, [&](int thread, int threads) {
      const IndexRange part = OwnedPart(rows.size, thread, threads);
      for (int64_t i = part.begin; i < part.end; ++i) {
        if (i < after.size) Foresee(after.rows[i], width);
        scaling_.Apply(*data_, rows.rows[i], {0, width}, features + i * width);
      }
    });
  }

  void Augment(const BatchOrder::Rows& rows, Batch* batch) const {
    const int64_t width = data_->sample_elements();
    float* features = const_cast<float*>(batch->features);
    const bool alone = options_.prefetch || rows.size * width < kGrain;
    OnTeam(alone, [&](int thread, int threads) {
      // Threads beyond those that have memory rest.
      threads = std::min(threads, threads_);
      if (thread >= threads) return;
      float* scratch =
          static_cast<float*>(scratch_.data()) + thread * scratch_stride_;
      for (int64_t i = rows.size * thread / threads;
           i < rows.size * (thread + 1) / threads; ++i) {
        AugmentRow(rows.rows[i], i, scratch, features + i * width, batch);
      }
    });
  }

  // Sample `row`, which is number `i` of the minibatch.
  void AugmentRow(int64_t row, int64_t i, float* scratch, float* out,
                  Batch* batch) const {
    if (!Mixes()) {
      options_.augment->Apply(*data_, row, key_, epoch_, scaling_, scratch,
                              out);
      return;
    }
    const Augmenter::Mix mix = options_.augment->ApplyMixed(
        *data_, row, key_, epoch_, scaling_, scratch, out);
    if (batch->mixed_labels == nullptr) return;
    const_cast<int32_t*>(batch->mixed_labels)[i] = data_->labels[mix.row];
    const_cast<float*>(batch->mixed_shares)[i] = mix.share;
  }

  // Asks for the numbers of a sample that will be read in a step's time: the
  // order is random, so nothing else could.
  void Foresee(int64_t row, int64_t width) const {
    const int64_t size = SizeOf(data_->dtype);
    const char* data =
        data_->dtype == DType::kUint8
            ? reinterpret_cast<const char*>(data_->bytes.data())
            : reinterpret_cast<const char*>(data_->floats.data());
    data += row * data_->sample_elements() * size;
    for (int64_t i = 0; i < width * size; i += 64) {
      __builtin_prefetch(data + i);
    }
  }

  const std::shared_ptr<const Dataset> data_;
  const FeatureScaling scaling_;
  const LoaderOptions options_;
  const uint64_t key_;  // of what augmentation draws
  BatchOrder order_;
  const int64_t per_epoch_;

  // The preparing thread's, or the caller's without prefetch: what comes next.
  int64_t epoch_, index_;
  // With augmentation: memory for each thread.
  Buffer scratch_;
  int64_t scratch_stride_ = 0;
  int threads_ = 1;

  // The caller's: the chunk it reads, and how many of its batches it has had.
  int reading_ = 0;
  size_t taken_ = 0;
  bool begun_ = false;

  Chunk chunks_[kChunks];
  std::mutex mutex_;  // guards Chunk::full and quit_
  std::condition_variable changed_;
  bool quit_ = false;
  std::thread thread_;
};

Loader::Loader(std::shared_ptr<const Dataset> data, FeatureScaling scaling,
               const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(data), std::move(scaling),
                                   options)) {}

Loader::~Loader() = default;

const Batch& Loader::Next() { return impl_->Next(); }

int64_t Loader::batches_per_epoch() const { return impl_->per_epoch(); }

}  // namespace tamer
