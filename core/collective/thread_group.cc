#include "core/collective/thread_group.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "absl/strings/str_cat.h"
#include "core/base/parallel.h"

namespace tamer {
namespace {

// How often a worker looks before it sleeps: about 50 microseconds.
constexpr int kLooks = 2000;

void Relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

TAMER_VECTORIZED void AddTo(float* __restrict sum,
                            const float* __restrict other, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += other[i];
}

// What the workers of a group share.
class Meeting {
 public:
  explicit Meeting(int size)
      : size_(size),
        awake_(size <= static_cast<int>(std::thread::hardware_concurrency())),
        data_(2 * static_cast<size_t>(size), nullptr) {}

  int size() const { return size_; }

  // Where worker `rank`'s data stand, for all to see after the next Meet(), at
  // its call number `call`: the last call's may still be read.
  void Show(int rank, uint64_t call, void* data) {
    data_[2 * rank + call % 2] = data;
  }
  void* data(int rank, uint64_t call) const {
    return data_[2 * rank + call % 2];
  }

  // Returns when all are here, or when one has left.
  absl::Status Meet() {
    if (Left()) return Error();
    const uint64_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        round_.store(round + 1, std::memory_order_release);
      }
      changed_.notify_all();
      return absl::OkStatus();
    }
    for (int look = 0; awake_ && look < kLooks && !Met(round); ++look) Relax();
    if (Met(round)) return absl::OkStatus();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return Met(round) || Left(); });
    return Met(round) ? absl::OkStatus() : Error();
  }

  void Leave(int rank) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      int none = -1;
      left_.compare_exchange_strong(none, rank);
    }
    changed_.notify_all();
  }

 private:
  bool Met(uint64_t round) const {
    return round_.load(std::memory_order_acquire) != round;
  }
  bool Left() const { return left_.load(std::memory_order_acquire) >= 0; }
  absl::Status Error() const {
    return absl::UnavailableError(
        absl::StrCat("worker ", left_.load(), " left the group"));
  }

  const int size_;
  const bool awake_;
  std::vector<void*> data_;
  std::atomic<int> arrived_{0};
  std::atomic<uint64_t> round_{0};
  std::atomic<int> left_{-1};
  std::mutex mutex_;
  std::condition_variable changed_;
};

class ThreadMember : public Collective {
 public:
  ThreadMember(std::shared_ptr<Meeting> meeting, int rank)
      : meeting_(std::move(meeting)), rank_(rank) {}
  ~ThreadMember() override { meeting_->Leave(rank_); }

  int rank() const override { return rank_; }
  int size() const override { return meeting_->size(); }

  // Each worker adds a share of the elements, for all.
  absl::Status AllReduceSum(float* data, int64_t n) override {
    Show(data);
    TAMER_RETURN_IF_ERROR(meeting_->Meet());
    const int64_t begin = ShareBegin(n, rank_);
    AddShare(begin, ShareBegin(n, rank_ + 1));
    return meeting_->Meet();
  }

  absl::Status Broadcast(void* data, int64_t bytes, int root) override {
    Show(data);
    TAMER_RETURN_IF_ERROR(meeting_->Meet());
    // Memory that all have in common is there already.
    if (data != Shown(root)) std::memcpy(data, Shown(root), bytes);
    return meeting_->Meet();
  }

  absl::Status AllGather(void* all, int64_t bytes) override {
    Show(all);
    TAMER_RETURN_IF_ERROR(meeting_->Meet());
    for (int r = 0; r < size(); ++r) {
      if (r == rank_) continue;
      std::memcpy(static_cast<char*>(all) + r * bytes,
                  static_cast<char*>(Shown(r)) + r * bytes, bytes);
    }
    return absl::OkStatus();
  }

  bool in_one_process() const override { return true; }

  absl::Status Barrier() override { return meeting_->Meet(); }

  void Abandon() override { meeting_->Leave(rank_); }

 private:
  // Whole cache lines.
  int64_t ShareBegin(int64_t n, int rank) const {
    return rank >= size() ? n : n * rank / size() / 16 * 16;
  }

  void AddShare(int64_t begin, int64_t end) const {
    constexpr int64_t kBlock = 1024;  // stays in the nearest cache
    float sum[kBlock];
    for (int64_t at = begin; at < end; at += kBlock) {
      const int64_t n = std::min(kBlock, end - at);
      std::memcpy(sum, Of(0) + at, n * sizeof(float));
      for (int r = 1; r < size(); ++r) {
        AddTo(sum, Of(r) + at, n);
      }
      for (int r = 0; r < size(); ++r) {
        std::memcpy(Of(r) + at, sum, n * sizeof(float));
      }
    }
  }
  float* Of(int rank) const { return static_cast<float*>(Shown(rank)); }
  void Show(void* data) { meeting_->Show(rank_, ++calls_, data); }
  void* Shown(int rank) const { return meeting_->data(rank, calls_); }

  const std::shared_ptr<Meeting> meeting_;
  const int rank_;
  uint64_t calls_ = 0;
};

}  // namespace

std::vector<std::unique_ptr<Collective>> MakeThreadGroup(int size) {
  auto meeting = std::make_shared<Meeting>(size);
  std::vector<std::unique_ptr<Collective>> members;
  for (int rank = 0; rank < size; ++rank) {
    members.push_back(std::make_unique<ThreadMember>(meeting, rank));
  }
  return members;
}

}  // namespace tamer
