#include "core/train/epoch_sums.h"

#include <cmath>

namespace tamer {
namespace {

// Ends each worker's row of sums in a checkpoint.
constexpr char kSamples[] = "samples";

}  // namespace

void EpochSums::Follow(const Graph& graph, const Executor& executor) {
  names_.clear();
  outputs_.clear();
  for (ValueId id : graph.outputs()) {
    const Value& value = graph.value(id);
    if (value.type.shape.rank() != 0) continue;
    names_.push_back(value.name);
    outputs_.push_back(executor.FindOutput(value.name));
  }
  sums_.resize(names_.size(), 0.0);
}

// With several workers each had a row of its own, and takes it up again, or
// with other workers its share of the rows: a sum is added up once, when the
// epoch ends, so that an interruption doesn't change its last bits.
void EpochSums::Read(const Teamwork& team, ProgressDef* progress) {
  Clear();
  const int width = static_cast<int>(names_.size()) + 1;
  const int size = progress->sum_size();
  const bool rows = size > 0 && progress->sum(size - 1).name() == kSamples;
  if (!rows) {
    for (int i = 0; i < size && i + 1 < width; ++i) {
      sums_[i] = progress->sum(i).value();
    }
    return;
  }
  int64_t samples = 0;
  for (int row = team.rank(); (row + 1) * width <= size;
       row += team.workers()) {
    for (int i = 0; i + 1 < width; ++i) {
      sums_[i] += progress->sum(row * width + i).value();
    }
    samples +=
        static_cast<int64_t>(progress->sum(row * width + width - 1).value());
  }
  progress->set_samples(samples);
}

absl::Status EpochSums::Write(Teamwork* team, ProgressDef* progress) const {
  std::vector<std::string> names = names_;
  std::vector<double> sums = sums_;
  if (team->workers() > 1) {
    names.push_back(kSamples);
    sums.push_back(static_cast<double>(progress->samples()));
    TAMER_RETURN_IF_ERROR(team->GatherRows(&sums));
  }
  if (!team->leads()) return absl::OkStatus();
  progress->clear_sum();
  for (size_t i = 0; i < sums.size(); ++i) {
    MetricDef* sum = progress->add_sum();
    sum->set_name(names[i % names.size()]);
    sum->set_value(sums[i]);
  }
  return absl::OkStatus();
}

int EpochSums::Add(const Executor& executor, int64_t samples) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const double value = executor.Output(outputs_[i]).floats()[0];
    if (!std::isfinite(value)) return static_cast<int>(i);
    sums_[i] += value * static_cast<double>(samples);
  }
  return -1;
}

absl::Status EpochSums::Merge(Teamwork* team, ProgressDef* progress) {
  std::vector<double> all = sums_;
  all.push_back(static_cast<double>(progress->samples()));
  TAMER_RETURN_IF_ERROR(team->MergeSums(&all));
  progress->set_samples(static_cast<int64_t>(all.back()));
  all.pop_back();
  sums_ = std::move(all);
  return absl::OkStatus();
}

MetricValues EpochSums::Means(int64_t samples) const {
  MetricValues means;
  for (size_t i = 0; i < names_.size(); ++i) {
    means.emplace_back(names_[i], sums_[i] / static_cast<double>(samples));
  }
  return means;
}

}  // namespace tamer
