#include "core/train/teamwork.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "core/parallel/share.h"
#include "core/passes/accumulate.h"
#include "core/passes/solver.h"

namespace tamer {
namespace {

constexpr int64_t kVotes = sizeof(StepVotes) / sizeof(float);

// Names of the variables that a run of the graph changes.
std::set<std::string> Changed(const Graph& graph) {
  std::set<std::string> names;
  for (const Node& node : graph.nodes()) {
    const std::vector<ValueId> all = node.AllInputs();
    for (int i : node.Mutates()) names.insert(graph.value(all[i]).name);
  }
  return names;
}

// Markov chains are each worker's own.
bool IsChain(const std::string& name) {
  return absl::EndsWith(name, "/particles");
}

}  // namespace

absl::Status Teamwork::Train(const Graph& graph, const Executor& executor) {
  if (group_ == nullptr) return absl::OkStatus();
  WorkerVariables names;
  own_.clear();
  for (const std::string& name : Changed(graph)) {
    const Tensor* tensor = variables_->Find(name);
    if (tensor == nullptr || tensor->dtype != DType::kFloat || IsChain(name)) {
      own_.push_back(name);
    } else if (absl::StartsWith(name, kUpdate)) {
      names.optimizer.push_back(name);
      if (OptimizerStateOf(def_) == ParallelDef::KEEP) own_.push_back(name);
    } else {
      names.parameters.push_back(name);
      if (def_.has_elastic()) own_.push_back(name);
    }
  }
  if (def_.compress()) own_.push_back("parallel/residual");
  averaging_ = nullptr;  // the old one's sending is over before
  if (def_.has_gradients()) {
    // Updates are alike on all workers; what else changes is not.
    for (const std::string& name : UpdatedBy(graph)) {
      names.parameters.erase(
          std::remove(names.parameters.begin(), names.parameters.end(), name),
          names.parameters.end());
    }
    names.optimizer.clear();
    gradients_ = FlatView();
    rows_ = executor.shared().empty()
                ? RowExchange()
                : RowExchange(group_, executor.shared(), executor.batch());
    for (const auto& entry : variables_->all()) {
      const bool sum = absl::StartsWith(entry.first, kAccumulated);
      if (sum && entry.second.dtype == DType::kFloat) {
        gradients_.Add(entry.second);
      }
    }
    sums_ = Buffer((gradients_.size() + kVotes) *
                   static_cast<int64_t>(sizeof(float)));
  }
  TAMER_ASSIGN_OR_RETURN(averaging_,
                         Averaging::Make(def_, names, group_, variables_));
  return absl::OkStatus();
}

absl::Status Teamwork::ChooseMemory(const Graph& graph, uint64_t seed) {
  TAMER_RETURN_IF_ERROR(SeparateMemory());
  votes_.change = 0;
  may_share_ = averages_gradients() && group_->in_one_process() &&
               workers() > 1 && UpdatesByRows(graph);
  if (!may_share_ || !try_common_) return absl::OkStatus();
  TAMER_RETURN_IF_ERROR(variables_->AddMissing(graph, seed));
  std::vector<const Variables*> all(workers(), nullptr);
  all[rank()] = variables_;
  TAMER_RETURN_IF_ERROR(group_->AllGather(all.data(), sizeof(all[0])));
  std::set<std::string> names;
  for (const std::string& name : UpdatedBy(graph)) names.insert(name);
  for (const std::string& name : Changed(graph)) {
    if (absl::StartsWith(name, kUpdate)) names.insert(name);
  }
  for (const std::string& name : names) {
    // Counters are each one's own: each adds one.
    if (variables_->Find(name)->dtype != DType::kFloat) continue;
    common_.push_back(name);
    if (!leads()) variables_->ShareMemory(name, *all[0]);
  }
  // The first one's variables must not change until all have looked.
  return group_->Barrier();
}

absl::Status Teamwork::EndUpdate() {
  return common_.empty() ? absl::OkStatus() : group_->Barrier();
}

absl::Status Teamwork::SeparateMemory() {
  if (common_.empty()) return absl::OkStatus();
  TAMER_RETURN_IF_ERROR(group_->Barrier());
  for (const std::string& name : common_) {
    if (!leads()) variables_->OwnMemory(name);
  }
  common_.clear();
  return group_->Barrier();
}

absl::Status Teamwork::AverageGradients(const Executor& executor, bool stop,
                                        bool save) {
  const auto began = std::chrono::steady_clock::now();
  votes_ = StepVotes();
  votes_.samples = static_cast<float>(executor.gathered());
  votes_.stop = stop ? 1 : 0;
  if (leads()) {
    const double now =
        std::chrono::duration<double>(began.time_since_epoch()).count();
    votes_.save = save ? 1 : 0;
    votes_.change = may_share_ && choice_.AfterStep(now, try_common_) ? 1 : 0;
  }
  if (!rows_.empty()) {
    TAMER_RETURN_IF_ERROR(rows_.Exchange(executor.shared(), &votes_));
    bytes_ += static_cast<double>(rows_.bytes()) * (workers() - 1);
  }
  if (rows_.empty() || gradients_.size() > 0) {
    TAMER_RETURN_IF_ERROR(SumGradients(executor.gathered()));
  }
  if (memory_changes()) try_common_ = !try_common_;
  waiting_ +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began)
          .count();
  return absl::OkStatus();
}

absl::Status Teamwork::SumGradients(int64_t samples) {
  float* sums = static_cast<float*>(sums_.data());
  float* votes = sums + gradients_.size();
  gradients_.Gather(static_cast<float>(samples), sums);
  std::memcpy(votes, &votes_, sizeof(votes_));
  TAMER_RETURN_IF_ERROR(group_->AllReduceSum(sums, gradients_.size() + kVotes));
  bytes_ += 2.0 * sizeof(float) * static_cast<double>(gradients_.size()) *
            (workers() - 1) / workers();
  // Rows brought the votes along.
  if (rows_.empty()) std::memcpy(&votes_, votes, sizeof(votes_));
  if (votes_.samples > 0) gradients_.Scatter(1 / votes_.samples, sums);
  return absl::OkStatus();
}

bool Teamwork::PeriodEnds(int64_t update, int64_t epoch) const {
  if (def_.has_post_local() && epoch < def_.post_local().epochs()) return true;
  return update % def_.average_every() == 0;
}

absl::StatusOr<Teamwork::Agreement> Teamwork::AfterStep(int64_t update,
                                                        int64_t epoch,
                                                        int64_t samples,
                                                        bool epoch_ends,
                                                        bool stop, bool save) {
  Agreement agreed;
  if (group_ == nullptr) {
    agreed.stop = stop;
    agreed.save = save;
    agreed.samples = static_cast<double>(samples);
    return agreed;
  }
  samples_ += samples;
  // What is asked within a period is voted on at its end.
  stop_ = stop_ || stop;
  save_ = save_ || save;
  if (update == 0) {
    votes_ = StepVotes();
    return agreed;
  }
  if (def_.has_gradients()) {
    ++averagings_;
    agreed = {votes_.stop > 0, votes_.save > 0, votes_.samples};
    if (!epoch_ends && !agreed.stop && !agreed.save) return agreed;
    Ballot running;
    running.samples = static_cast<float>(samples_);
    samples_ = 0;
    TAMER_RETURN_IF_ERROR(averaging_->Combine(&running));
    return agreed;
  }
  if (!epoch_ends && !PeriodEnds(update, epoch)) return agreed;
  Ballot ballot;
  ballot.samples = static_cast<float>(samples_);
  ballot.stop = stop_ ? 1 : 0;
  ballot.save = save_ && leads() ? 1 : 0;
  stop_ = save_ = false;
  TAMER_RETURN_IF_ERROR(averaging_->Combine(&ballot));
  ++averagings_;
  samples_ = 0;
  agreed.stop = ballot.stop > 0;
  agreed.save = ballot.save > 0;
  agreed.samples = ballot.samples;
  if (epoch_ends || agreed.stop || agreed.save) {
    TAMER_RETURN_IF_ERROR(averaging_->Settle());
  }
  return agreed;
}

absl::Status Teamwork::GatherRows(std::vector<double>* row) {
  if (group_ == nullptr) return absl::OkStatus();
  // A double is sent as floats: its value, and twice what that left out.
  constexpr int kParts = 3;
  const size_t width = row->size();
  std::vector<float> parts(kParts * width * workers(), 0.0f);
  for (size_t i = 0; i < width; ++i) {
    double left = (*row)[i];
    for (int part = 0; part < kParts; ++part) {
      float& sent = parts[kParts * (rank() * width + i) + part];
      sent = static_cast<float>(left);
      left -= sent;
    }
  }
  TAMER_RETURN_IF_ERROR(
      group_->AllReduceSum(parts.data(), static_cast<int64_t>(parts.size())));
  row->assign(width * workers(), 0.0);
  for (size_t i = 0; i < parts.size(); ++i) (*row)[i / kParts] += parts[i];
  return absl::OkStatus();
}

absl::Status Teamwork::MergeSums(std::vector<double>* sums) {
  if (group_ == nullptr) return absl::OkStatus();
  const size_t width = sums->size();
  std::vector<double> rows = *sums;
  TAMER_RETURN_IF_ERROR(GatherRows(&rows));
  sums->assign(width, 0.0);
  for (size_t i = 0; leads() && i < rows.size(); ++i) {
    (*sums)[i % width] += rows[i];
  }
  return absl::OkStatus();
}

absl::Status Teamwork::Share(bool* value) {
  if (group_ == nullptr) return absl::OkStatus();
  return group_->Broadcast(value, sizeof(*value), 0);
}

absl::Status Teamwork::GatherOwn() {
  return tamer::GatherOwn(group_, own_, variables_);
}

void Teamwork::ForgetOwn() {
  if (group_ != nullptr) tamer::ForgetOwn(variables_);
}

void Teamwork::ShowCenter() {
  if (averaging_ != nullptr) averaging_->ShowCenter();
}
void Teamwork::HideCenter() {
  if (averaging_ != nullptr) averaging_->HideCenter();
}

absl::StatusOr<Teamwork::Balance> Teamwork::TakeBalance() {
  Balance balance;
  if (group_ == nullptr) return balance;
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - began_).count();
  began_ = now;
  const Averaging::Cost cost = averaging_->TakeCost();
  std::vector<float> waiting(workers(), 0);
  const double waited = cost.waiting + waiting_;
  waiting[rank()] = seconds > 0 ? static_cast<float>(waited / seconds) : 0;
  TAMER_RETURN_IF_ERROR(group_->AllReduceSum(
      waiting.data(), static_cast<int64_t>(waiting.size())));
  for (float share : waiting) balance.waiting += share / waiting.size();
  balance.slowest = static_cast<int>(
      std::min_element(waiting.begin(), waiting.end()) - waiting.begin());
  balance.bytes = cost.bytes + bytes_;
  waiting_ = bytes_ = 0;
  balance.averagings = static_cast<double>(averagings_);
  averagings_ = 0;
  return balance;
}

}  // namespace tamer
