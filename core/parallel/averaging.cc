#include "core/parallel/averaging.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/base/tensor.h"
#include "core/parallel/flat.h"

namespace tamer {
namespace {

constexpr char kAnchor[] = "parallel/anchor";
constexpr char kVelocity[] = "parallel/velocity";
constexpr char kResidual[] = "parallel/residual";

using Clock = std::chrono::steady_clock;
double Since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// The outer step of a method: see Averaging.
struct OuterStep {
  float rate = 1, momentum = 0;
  bool nesterov = false;
  bool plain() const { return rate == 1 && momentum == 0; }
};

OuterStep StepOf(const ParallelDef& def, int workers) {
  OuterStep step;
  if (def.has_outer()) {
    step.rate = def.outer().rate();
    step.momentum = def.outer().momentum();
    step.nesterov = true;
  } else if (def.has_block_momentum()) {
    const float momentum = def.block_momentum().momentum();
    step.momentum = momentum < 0 ? 1 - 1.0f / workers : momentum;
  }
  return step;
}

absl::Status AddAll(const std::vector<std::string>& names,
                    const Variables& variables, FlatView* view) {
  for (const std::string& name : names) {
    const Tensor* tensor = variables.Find(name);
    if (tensor == nullptr) return Invalid("no variable ", name);
    view->Add(*tensor);
  }
  return absl::OkStatus();
}

}  // namespace

class Averaging::Impl {
 public:
  Impl(const ParallelDef& def, Collective* group, Variables* variables)
      : def_(def),
        group_(*group),
        variables_(*variables),
        step_(StepOf(def, group->size())),
        state_(OptimizerStateOf(def)) {
    alpha_ = !def.has_elastic()          ? 0
             : def.elastic().alpha() < 0 ? 0.9f / group->size()
                                         : def.elastic().alpha();
  }
  ~Impl() {
    if (sender_.joinable()) sender_.join();
  }

  absl::Status SetUp(const WorkerVariables& names) {
    TAMER_RETURN_IF_ERROR(AddAll(names.parameters, variables_, &parameters_));
    TAMER_RETURN_IF_ERROR(AddAll(names.parameters, variables_, &averaged_));
    if (state_ == ParallelDef::AVERAGE) {
      TAMER_RETURN_IF_ERROR(AddAll(names.optimizer, variables_, &averaged_));
    } else if (state_ == ParallelDef::RESET) {
      TAMER_RETURN_IF_ERROR(AddAll(names.optimizer, variables_, &reset_));
    }
    sums_ = Buffer(averaged_.size() * static_cast<int64_t>(sizeof(float)));
    if (def_.overlap()) sent_ = Buffer(sums_.bytes());
    if (def_.has_elastic()) own_ = Buffer(sums_.bytes());
    if (NeedsAnchor()) {
      TAMER_RETURN_IF_ERROR(Keep(kAnchor, averaged_.size(), &anchor_));
    }
    if (step_.momentum != 0) {
      TAMER_RETURN_IF_ERROR(Keep(kVelocity, parameters_.size(), &velocity_));
    }
    if (def_.compress()) {
      TAMER_RETURN_IF_ERROR(Keep(kResidual, averaged_.size(), &residual_));
    }
    return absl::OkStatus();
  }

  absl::Status Combine(Ballot* ballot) {
    const auto began = Clock::now();
    // A group does one thing at a time.
    if (sender_.joinable()) sender_.join();
    const float samples = ballot->samples;
    float votes[3] = {ballot->samples, ballot->stop, ballot->save};
    TAMER_RETURN_IF_ERROR(group_.AllReduceSum(votes, 3));
    // What comes first waits for all.
    cost_.waiting += Since(began);
    *ballot = {votes[0], votes[1], votes[2]};
    const float weight = votes[0] > 0 ? samples / votes[0] : 0;
    absl::Status status = def_.has_elastic() ? Elastic()
                          : def_.overlap()   ? Overlapped(weight)
                                             : Average(weight);
    cost_.seconds += Since(began);
    return status;
  }

  absl::Status Settle() {
    if (!def_.overlap()) return absl::OkStatus();
    TAMER_RETURN_IF_ERROR(Receive());
    return Average(1.0f / group_.size());
  }

  void ShowCenter() {
    if (!def_.has_elastic()) return;
    averaged_.Gather(1, Floats(own_));
    averaged_.Scatter(1, anchor_);
  }
  void HideCenter() {
    if (def_.has_elastic()) averaged_.Scatter(1, Floats(own_));
  }

  Cost TakeCost() {
    const Cost cost = cost_;
    cost_ = Cost();
    return cost;
  }

 private:
  static float* Floats(const Buffer& buffer) {
    return static_cast<float*>(buffer.data());
  }
  bool NeedsAnchor() const {
    return !step_.plain() || def_.has_elastic() || def_.compress();
  }

  // A variable of the run's own; begins as the parameters (the anchor), or
  // zero.
  absl::Status Keep(const std::string& name, int64_t n, float** data) {
    const Tensor* present = variables_.Find(name);
    if (present != nullptr && present->elements() != n) {
      variables_.Remove(name);  // of a graph that trained less
      present = nullptr;
    }
    Tensor tensor = present != nullptr ? *present : Tensor();
    if (present == nullptr) {
      TAMER_ASSIGN_OR_RETURN(tensor,
                             variables_.Add(name, {DType::kFloat, Shape({n})}));
      if (name == kAnchor) averaged_.Gather(1, tensor.floats());
    }
    *data = tensor.floats();
    return absl::OkStatus();
  }

  // The mean of all workers' variables, in sums_.
  absl::Status Mean(float weight, float* sums) {
    const int64_t n = averaged_.size();
    if (!def_.compress()) {
      averaged_.Gather(weight, sums);
      cost_.bytes += BytesSent(n, sizeof(float));
      return group_.AllReduceSum(sums, n);
    }
    averaged_.Gather(1, sums);
    for (int64_t i = 0; i < n; ++i) {
      const float change = weight * (sums[i] - anchor_[i]) + residual_[i];
      sums[i] = RoundToBf16(change);
      residual_[i] = change - sums[i];
    }
    cost_.bytes += BytesSent(n, 2);
    TAMER_RETURN_IF_ERROR(group_.AllReduceSumBf16(sums, n));
    for (int64_t i = 0; i < n; ++i) sums[i] += anchor_[i];
    return absl::OkStatus();
  }

  // A reduce-scatter and an all-gather: each worker sends all but its own share
  // twice.
  double BytesSent(int64_t n, int64_t element) const {
    return 2.0 * static_cast<double>(n * element) * (group_.size() - 1) /
           group_.size();
  }

  absl::Status Average(float weight) {
    float* mean = Floats(sums_);
    TAMER_RETURN_IF_ERROR(Mean(weight, mean));
    Step(mean);
    averaged_.Scatter(1, mean);
    reset_.Zero();
    return absl::OkStatus();
  }

  // The outer step from the mean, which becomes the new anchor.
  void Step(float* mean) {
    const int64_t n = parameters_.size();
    for (int64_t i = 0; !step_.plain() && i < n; ++i) {
      const float change = mean[i] - anchor_[i];
      float move = change;
      if (velocity_ != nullptr) {
        velocity_[i] = step_.momentum * velocity_[i] + change;
        move = step_.nesterov ? change + step_.momentum * velocity_[i]
                              : velocity_[i];
      }
      mean[i] = anchor_[i] + step_.rate * move;
    }
    if (anchor_ != nullptr) std::memcpy(anchor_, mean, sums_.bytes());
  }

  // What was sent a period ago comes in, and what changed since stays: then the
  // next is sent.
  absl::Status Overlapped(float weight) {
    TAMER_RETURN_IF_ERROR(Receive());
    averaged_.Gather(1, Floats(sent_));
    reset_.Zero();
    under_way_ = true;
    sender_ = std::thread([this, weight, copy = averaged_] {
      float* mean = Floats(sums_);
      // The parameters change meanwhile, so from the copy.
      const float* sent = Floats(sent_);
      for (int64_t i = 0; i < copy.size(); ++i) mean[i] = weight * sent[i];
      received_ = group_.AllReduceSum(mean, copy.size());
    });
    cost_.bytes += BytesSent(averaged_.size(), sizeof(float));
    return absl::OkStatus();
  }

  absl::Status Receive() {
    if (sender_.joinable()) sender_.join();
    if (!under_way_) return absl::OkStatus();
    under_way_ = false;
    TAMER_RETURN_IF_ERROR(received_);
    averaged_.Shift(Floats(sums_), Floats(sent_));
    return absl::OkStatus();
  }

  absl::Status Elastic() {
    float* sum = Floats(sums_);
    averaged_.Gather(1, sum);
    std::memcpy(Floats(own_), sum, sums_.bytes());
    cost_.bytes += BytesSent(averaged_.size(), sizeof(float));
    TAMER_RETURN_IF_ERROR(group_.AllReduceSum(sum, averaged_.size()));
    float* own = Floats(own_);
    for (int64_t i = 0; i < averaged_.size(); ++i) {
      own[i] -= alpha_ * (own[i] - anchor_[i]);
      anchor_[i] += alpha_ * (sum[i] - group_.size() * anchor_[i]);
    }
    averaged_.Scatter(1, own);
    return absl::OkStatus();
  }

  const ParallelDef def_;
  Collective& group_;
  Variables& variables_;
  const OuterStep step_;
  const ParallelDef::OptimizerState state_;
  float alpha_ = 0;

  // What is averaged begins with the parameters.
  FlatView parameters_, averaged_, reset_;
  Buffer sums_, sent_, own_;
  float* anchor_ = nullptr;
  float* velocity_ = nullptr;
  float* residual_ = nullptr;
  Cost cost_;

  std::thread sender_;
  bool under_way_ = false;
  absl::Status received_;
};

Averaging::Averaging(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Averaging::~Averaging() = default;

absl::StatusOr<std::unique_ptr<Averaging>> Averaging::Make(
    const ParallelDef& def, const WorkerVariables& names, Collective* group,
    Variables* variables) {
  auto impl = std::make_unique<Impl>(def, group, variables);
  TAMER_RETURN_IF_ERROR(impl->SetUp(names));
  return std::unique_ptr<Averaging>(new Averaging(std::move(impl)));
}

absl::Status Averaging::Combine(Ballot* ballot) {
  return impl_->Combine(ballot);
}
absl::Status Averaging::Settle() { return impl_->Settle(); }
void Averaging::ShowCenter() { impl_->ShowCenter(); }
void Averaging::HideCenter() { impl_->HideCenter(); }
Averaging::Cost Averaging::TakeCost() { return impl_->TakeCost(); }

ParallelDef::OptimizerState OptimizerStateOf(const ParallelDef& def) {
  if (def.optimizer_state() != ParallelDef::DEFAULT) {
    return def.optimizer_state();
  }
  return def.has_outer() || def.has_elastic() ? ParallelDef::KEEP
                                              : ParallelDef::AVERAGE;
}

}  // namespace tamer
