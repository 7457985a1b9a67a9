#include "core/train/monitor.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/data/loader.h"
#include "core/op/parameters.h"
#include "core/passes/passes.h"
#include "core/train/executor.h"

namespace tamer {
namespace {

constexpr int64_t kSamples = 100;
// Shares of a layer's units, and of all its values.
constexpr double kManyDead = 0.5, kManySaturated = 0.9;
// A weight so large, and so many times larger than at first, has run away.
constexpr float kLarge = 1000, kGrown = 10;

float LargestOf(const Tensor& tensor) {
  float largest = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const float size = std::abs(tensor.floats()[i]);
    if (!(size <= largest)) largest = size;
  }
  return largest;
}

// How many units, [rows, units, inner], are 0 throughout.
int64_t DeadUnits(const float* values, int64_t rows, int64_t units,
                  int64_t inner) {
  int64_t dead = 0;
  for (int64_t unit = 0; unit < units; ++unit) {
    bool alive = false;
    for (int64_t row = 0; row < rows && !alive; ++row) {
      const float* at = values + (row * units + unit) * inner;
      for (int64_t i = 0; i < inner && !alive; ++i) alive = at[i] != 0;
    }
    dead += !alive;
  }
  return dead;
}

double SaturatedShare(const Tensor& tensor, bool sigmoid) {
  int64_t ends = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const float x = tensor.floats()[i];
    ends += sigmoid ? (x < 0.01f || x > 0.99f) : std::abs(x) > 0.98f;
  }
  return static_cast<double>(ends) /
         static_cast<double>(std::max<int64_t>(1, tensor.elements()));
}

}  // namespace

std::vector<Monitor::Watched> Monitor::FindActivations(
    const Graph& graph) const {
  std::vector<Watched> found;
  for (const Node& node : graph.nodes()) {
    std::string activation = ActivationOp(node.op->name());
    if (activation.empty()) {
      activation = EnumParameter(*node.params, "activation");
    }
    if (activation != "RELU" && activation != "SIGMOID" &&
        activation != "TANH") {
      continue;
    }
    const Value& value = graph.value(node.outputs[0]);
    if (value.type.dtype != DType::kFloat || value.type.shape.rank() < 2) {
      continue;
    }
    const bool channels = value.type.shape.rank() > 3 ||
                          node.op->name().compare(0, 4, "Conv") == 0;
    found.push_back({node.name, activation, value.name, channels});
  }
  return found;
}

void Monitor::Tell(const std::string& node, const std::string& what,
                   std::vector<std::string>* found) {
  if (!told_.insert(node).second) return;
  found->push_back(absl::StrCat("node \"", node, "\": ", what));
}

absl::Status Monitor::LookAtUnits(std::vector<std::string>* found) {
  TAMER_ASSIGN_OR_RETURN(Graph graph, Infer(network_));
  const std::vector<Watched> watched = FindActivations(graph);
  if (watched.empty()) return absl::OkStatus();
  graph.ClearOutputs();
  for (const Watched& entry : watched) {
    TAMER_RETURN_IF_ERROR(graph.AddOutput(entry.value));
  }
  ExecutorOptions options;
  options.batch = std::min(kSamples, data_.train->size);
  options.shapes = {{options.batch, 0}};
  TAMER_ASSIGN_OR_RETURN(
      auto executor,
      Executor::Make(graph, *data_.train, options, &variables_, &scheduler_));
  LoaderOptions loading;
  loading.batch = options.batch;
  loading.shuffle = false;
  Loader loader(data_.train, data_.scaling, loading);
  TAMER_RETURN_IF_ERROR(executor->Run(loader.Next(), 0));
  for (const Watched& entry : watched) {
    const Tensor& out = executor->Output(executor->FindOutput(entry.value));
    if (entry.activation != "RELU") {
      const double share = SaturatedShare(out, entry.activation == "SIGMOID");
      if (share < kManySaturated) continue;
      Tell(entry.node,
           absl::StrFormat("%.0f %% of its values are at the ends of its %s, "
                           "where slopes are 0; lower the learning rate or "
                           "its first weights",
                           100 * share, entry.activation),
           found);
      continue;
    }
    const int rank = out.shape.rank();
    const int axis = entry.channels ? 1 : rank - 1;
    int64_t rows = 1, inner = 1;
    for (int i = 0; i < axis; ++i) rows *= out.shape.dim(i);
    for (int i = axis + 1; i < rank; ++i) inner *= out.shape.dim(i);
    const int64_t units = out.shape.dim(axis);
    const int64_t dead = DeadUnits(out.floats(), rows, units, inner);
    if (dead < kManyDead * units) continue;
    Tell(entry.node,
         absl::StrCat(dead, " of its ", units, " rectified units are 0 for ",
                      "all of ", options.batch, " samples and can't learn; ",
                      "lower the learning rate, or use LEAKY_RELU"),
         found);
  }
  return absl::OkStatus();
}

void Monitor::LookAtWeights(std::vector<std::string>* found) {
  for (ValueId id : network_.variables()) {
    const Value& value = network_.value(id);
    const Tensor* tensor = variables_.Find(value.name);
    if (tensor == nullptr || tensor->dtype != DType::kFloat) continue;
    const float size = LargestOf(*tensor);
    const auto first = first_size_.emplace(value.name, size).first->second;
    const bool finite = std::isfinite(size);
    if (finite && (size < kLarge || size < kGrown * first)) continue;
    Tell(network_.node(value.node).name,
         absl::StrFormat("the largest number in %s is %g, at first %g: it runs "
                         "away; lower the learning rate, or clip_norm: 1",
                         value.name, size, first),
         found);
  }
}

absl::StatusOr<std::vector<std::string>> Monitor::Look() {
  std::vector<std::string> found;
  LookAtWeights(&found);
  TAMER_RETURN_IF_ERROR(LookAtUnits(&found));
  return found;
}

std::string WhereNotFinite(const Variables& variables) {
  std::string largest;
  float size = 0;
  for (const auto& entry : variables.all()) {
    if (entry.second.dtype != DType::kFloat) continue;
    const float here = LargestOf(entry.second);
    if (!std::isfinite(here)) {
      return absl::StrCat("; ", entry.first, " is not finite any more");
    }
    if (here > size) {
      size = here;
      largest = entry.first;
    }
  }
  if (largest.empty()) return "";
  return absl::StrFormat("; the largest parameter, %g, is in %s", size,
                         largest);
}

}  // namespace tamer
