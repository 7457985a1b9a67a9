#ifndef TAMER_CORE_TRAIN_ROW_EXCHANGE_H_
#define TAMER_CORE_TRAIN_ROW_EXCHANGE_H_

#include <vector>

#include "core/collective/collective.h"
#include "core/train/executor.h"

namespace tamer {

// Numbers that are added up over the workers in each step; sent as they are.
struct StepVotes {
  float samples;  // that this worker's gradients are of
  float stop;     // whether it was asked to stop
  float save;     // the first one's: whether a checkpoint is due
  float change;   // the first one's: whether to hold memory the other way
};

// Brings the rows that workers share (see SharedRows) from each to all, in one
// message, with their votes.
class RowExchange {
 public:
  RowExchange() = default;
  // For rows like these, of full minibatches of `batch` samples. `group` must
  // outlive it.
  RowExchange(Collective* group, const std::vector<Executor::Shared>& shared,
              int64_t batch);

  bool empty() const { return sizes_.empty(); }
  // Bytes that each worker sends to each other.
  int64_t bytes() const { return block_ * static_cast<int64_t>(sizeof(float)); }

  // To be called by all at once. `votes` gets the sums; a worker of no samples
  // has no rows. Fills each `all`, in the order of the workers; rows that a
  // smaller minibatch lacks become zeros, and tokens -1.
  absl::Status Exchange(const std::vector<Executor::Shared>& shared,
                        StepVotes* votes);

 private:
  void Pack(const std::vector<Executor::Shared>& shared,
            const StepVotes& votes);
  void Unpack(int worker, float samples, float all_samples,
              const std::vector<Executor::Shared>& shared) const;
  float* Block(int worker) const {
    return static_cast<float*>(blocks_[step_ % 2].data()) + worker * block_;
  }

  Collective* group_ = nullptr;
  int64_t batch_ = 1;
  std::vector<int64_t> sizes_;  // elements of a full minibatch's rows
  int64_t block_ = 0;           // elements of a worker's message
  // Everybody's, of this step and the last, which others may still read.
  Buffer blocks_[2];
  uint64_t step_ = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_ROW_EXCHANGE_H_
