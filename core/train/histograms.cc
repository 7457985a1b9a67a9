#include "core/train/histograms.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/passes/passes.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBins = 40;
// Numbers that a tensor's histogram looks at, in runs of so many neighbours,
// one run at some place in each of equal parts. Numbers at equal distances
// would be of few units.
constexpr int64_t kMost = 1 << 15;
constexpr int64_t kRun = 64;
// The golden ratio: its multiples' fractions are spread evenly.
constexpr double kGolden = 0.61803398874989485;
// Of a network's tensors, so many.
constexpr size_t kMostTensors = 64;
// Recording may take this share of the time.
constexpr double kShare = 0.01;

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// Calls `take` with each number that is looked at.
template <typename Take>
void ForSample(const float* values, int64_t count, const Take& take) {
  const int64_t runs = count <= kMost ? 1 : kMost / kRun;
  const int64_t length = count <= kMost ? count : kRun;
  const int64_t part = count / runs;
  for (int64_t r = 0; r < runs; ++r) {
    const double turn = static_cast<double>(r) * kGolden;
    const auto offset = static_cast<int64_t>(
        (turn - std::floor(turn)) * static_cast<double>(part - length + 1));
    const float* run = values + r * part + offset;
    for (int64_t i = 0; i < length; ++i) {
      if (std::isfinite(run[i])) take(run[i]);
    }
  }
}

bool IsTrained(const Phase& phase, const std::string& variable) {
  for (const auto& entry : phase.graphs) {
    if (entry.second->FindNode("update/" + variable) >= 0) return true;
  }
  return false;
}

nlohmann::ordered_json ToJson(const Histogram& histogram) {
  // Six digits are more than a picture shows.
  const auto rounded = [](double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6g", value);
    return std::atof(text);
  };
  return {{"name", histogram.name},
          {"kind", histogram.kind},
          {"low", rounded(histogram.low)},
          {"high", rounded(histogram.high)},
          {"mean", rounded(histogram.mean)},
          {"deviation", rounded(histogram.deviation)},
          {"counts", histogram.counts}};
}

}  // namespace

Histogram MakeHistogram(const float* values, int64_t count) {
  Histogram result;
  result.counts.assign(kBins, 0);
  float low = INFINITY, high = -INFINITY;
  double sum = 0, squares = 0;
  int64_t seen = 0;
  ForSample(values, count, [&](float value) {
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
    squares += double{value} * value;
    ++seen;
  });
  if (seen == 0) return result;
  result.low = low;
  result.high = high;
  result.mean = sum / seen;
  result.deviation =
      std::sqrt(std::max(0.0, squares / seen - result.mean * result.mean));
  // A constant's only step is the middle one.
  const double range = result.high - result.low;
  const double scale = range > 0 ? kBins / range : 0;
  const double first = range > 0 ? 0 : kBins / 2;
  ForSample(values, count, [&](float value) {
    const int bin = static_cast<int>(first + (value - result.low) * scale);
    ++result.counts[std::min(kBins - 1, bin)];
  });
  return result;
}

absl::StatusOr<std::unique_ptr<Histograms>> Histograms::Make(
    const Graph& network, const Phase& phase,
    std::shared_ptr<const Dataset> data, const FeatureScaling& scaling,
    Variables* variables, Scheduler* scheduler, MetricsLog* log) {
  auto result = std::unique_ptr<Histograms>(new Histograms);
  result->stage_ = phase.stage;
  result->layer_ = phase.layer;
  result->variables_ = variables;
  result->log_ = log;
  result->last_ = Clock::now();
  std::set<std::string> owners;
  for (const Node& node : network.nodes()) {
    for (ValueId id : node.variables) {
      const Value& value = network.value(id);
      if (value.type.dtype != DType::kFloat || !IsTrained(phase, value.name) ||
          result->weights_.size() == kMostTensors) {
        continue;
      }
      result->weights_.push_back(value.name);
      if (node.outputs.empty()) continue;  // a parameter on its own
      const Value& output = network.value(node.outputs[0]);
      if (output.type.dtype == DType::kFloat && output.type.shape.batched()) {
        result->activities_.push_back(output.name);
      }
    }
  }
  auto& names = result->activities_;
  names.erase(std::unique(names.begin(), names.end()), names.end());
  TAMER_RETURN_IF_ERROR(result->AddActivities(network, std::move(data), scaling,
                                              phase, scheduler));
  return result;
}

absl::Status Histograms::AddActivities(const Graph& network,
                                       std::shared_ptr<const Dataset> data,
                                       const FeatureScaling& scaling,
                                       const Phase& phase,
                                       Scheduler* scheduler) {
  if (activities_.empty()) return absl::OkStatus();
  Graph graph = network;
  graph.ClearOutputs();
  for (const std::string& name : activities_) {
    TAMER_RETURN_IF_ERROR(graph.AddOutput(name));
  }
  TAMER_ASSIGN_OR_RETURN(graph, Infer(graph));
  // Training alone brings variables into being.
  for (ValueId id : graph.variables()) {
    if (variables_->Find(graph.value(id).name) == nullptr) {
      return absl::OkStatus();
    }
  }
  activities_.clear();
  for (ValueId id : graph.outputs()) {
    activities_.push_back(graph.value(id).name);
  }
  ExecutorOptions options;
  options.batch = phase.batch;
  options.arena = phase.arena;
  TAMER_ASSIGN_OR_RETURN(
      executor_, Executor::Make(graph, *data, options, variables_, scheduler));
  LoaderOptions in_order;
  in_order.batch = phase.batch;
  in_order.shuffle = false;
  loader_ = std::make_unique<Loader>(std::move(data), scaling, in_order);
  batch_ = &loader_->Next();
  return absl::OkStatus();
}

absl::Status Histograms::MeasureActivities(std::vector<Histogram>* found) {
  if (executor_ == nullptr) return absl::OkStatus();
  TAMER_RETURN_IF_ERROR(executor_->Run(*batch_, 0));
  for (const std::string& name : activities_) {
    const Tensor& tensor = executor_->Output(executor_->FindOutput(name));
    found->push_back(MakeHistogram(tensor.floats(), tensor.elements()));
    found->back().name = name;
    found->back().kind = "activation";
  }
  return absl::OkStatus();
}

absl::Status Histograms::Record(int64_t epoch) {
  const auto began = Clock::now();
  if (kShare * Seconds(began - last_) < cost_) return absl::OkStatus();
  std::vector<Histogram> found;
  for (const std::string& name : weights_) {
    const Tensor* tensor = variables_->Find(name);
    if (tensor == nullptr) continue;
    found.push_back(MakeHistogram(tensor->floats(), tensor->elements()));
    found.back().name = name;
    found.back().kind = "weight";
  }
  TAMER_RETURN_IF_ERROR(MeasureActivities(&found));
  nlohmann::ordered_json line;
  line["stage"] = stage_;
  if (!layer_.empty()) line["layer"] = layer_;
  line["epoch"] = epoch;
  line["histograms"] = nlohmann::json::array();
  for (const Histogram& one : found) line["histograms"].push_back(ToJson(one));
  TAMER_RETURN_IF_ERROR(log_->Append(line.dump()));
  last_ = Clock::now();
  cost_ = Seconds(last_ - began);
  return absl::OkStatus();
}

}  // namespace tamer
