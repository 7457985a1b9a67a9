#include "core/train/row_exchange.h"

#include <algorithm>
#include <cstring>

#include "core/parallel/flat.h"

namespace tamer {
namespace {

// Where the rows begin, after the votes: a cache line farther on.
constexpr int64_t kVotes = 16;
static_assert(sizeof(StepVotes) <= kVotes * sizeof(float));

StepVotes VotesOf(const float* block) {
  StepVotes votes;
  std::memcpy(&votes, block, sizeof(votes));
  return votes;
}

}  // namespace

RowExchange::RowExchange(Collective* group,
                         const std::vector<Executor::Shared>& shared,
                         int64_t batch)
    : group_(group), batch_(batch), block_(kVotes) {
  for (const Executor::Shared& one : shared) {
    sizes_.push_back(one.all.elements() / group->size());
    block_ += sizes_.back();
  }
  // A cache line isn't two workers'.
  block_ = (block_ + kVotes - 1) / kVotes * kVotes;
  for (Buffer& blocks : blocks_) blocks = Buffer(group->size() * bytes());
}

void RowExchange::Pack(const std::vector<Executor::Shared>& shared,
                       const StepVotes& votes) {
  float* block = Block(group_->rank());
  std::memcpy(block, &votes, sizeof(votes));
  block += kVotes;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    if (votes.samples > 0) {
      std::memcpy(block, shared[i].own->data, shared[i].own->bytes());
    }
    block += sizes_[i];
  }
}

void RowExchange::Unpack(int worker, float samples, float all_samples,
                         const std::vector<Executor::Shared>& shared) const {
  const float* block = Block(worker) + kVotes;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    const int64_t used = sizes_[i] / batch_ * static_cast<int64_t>(samples);
    const int64_t left =
        (sizes_[i] - used) * static_cast<int64_t>(sizeof(float));
    float* rows = shared[i].all.floats() + worker * sizes_[i];
    float weight = 1;
    if (shared[i].weight == SharedRows::kShare) weight = samples / all_samples;
    if (shared[i].weight == SharedRows::kFill) {
      weight = static_cast<float>(group_->size() * batch_) / all_samples;
    }
    if (weight == 1) {
      std::memcpy(rows, block, used * sizeof(float));
    } else {
      ScaleInto(block, weight, used, rows);
    }
    std::memset(rows + used, shared[i].all.dtype == DType::kInt32 ? -1 : 0,
                left);
    block += sizes_[i];
  }
}

absl::Status RowExchange::Exchange(const std::vector<Executor::Shared>& shared,
                                   StepVotes* votes) {
  ++step_;
  Pack(shared, *votes);
  TAMER_RETURN_IF_ERROR(group_->AllGather(Block(0), bytes()));
  *votes = StepVotes();
  for (int worker = 0; worker < group_->size(); ++worker) {
    const StepVotes own = VotesOf(Block(worker));
    votes->samples += own.samples;
    votes->stop += own.stop;
    votes->save += own.save;
    votes->change += own.change;
  }
  if (votes->samples == 0) return absl::OkStatus();
  for (int worker = 0; worker < group_->size(); ++worker) {
    Unpack(worker, VotesOf(Block(worker)).samples, votes->samples, shared);
  }
  return absl::OkStatus();
}

}  // namespace tamer
