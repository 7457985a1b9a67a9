#include "core/train/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/train/executor.h"

namespace tamer {
namespace {

// Large enough to be fast.
constexpr int64_t kMostSamples = 200;
// Of one value; so that training's memory is not surpassed by far.
constexpr int64_t kMostValueBytes = int64_t{16} << 20;

constexpr int64_t kMostFeatureBytes = int64_t{4} << 30;

// A borrowed data set as the shared one that a Loader wants.
std::shared_ptr<const Dataset> Borrow(const Dataset& data) {
  return std::shared_ptr<const Dataset>(&data, [](const Dataset*) {});
}

ExecutorOptions InBatches(int64_t batch) {
  ExecutorOptions options;
  options.batch = batch;
  return options;
}

LoaderOptions InOrder(int64_t batch) {
  LoaderOptions options;
  options.batch = batch;
  options.shuffle = false;
  options.prefetch = false;
  return options;
}

void CountPredictions(const Tensor& logits, const Batch& batch,
                      std::vector<std::vector<int64_t>>* confusion) {
  const int64_t classes = logits.shape.back();
  if (confusion->empty()) {
    confusion->assign(classes, std::vector<int64_t>(classes, 0));
  }
  for (int64_t i = 0; i < batch.size; ++i) {
    const float* row = logits.floats() + i * classes;
    const int64_t predicted = std::max_element(row, row + classes) - row;
    ++(*confusion)[batch.labels[i]][predicted];
  }
}

// What each minibatch's means are of: samples, or with a loss of sequences the
// targets that are not padding.
class Counter {
 public:
  // May add an output to `graph`.
  static absl::StatusOr<Counter> Make(const FinetuneDef& finetune,
                                      Graph* graph) {
    Counter counter;
    counter.targets_ = finetune.loss().type_url() == "op/SequenceCrossEntropy";
    if (!counter.targets_) return counter;
    const Node& loss = graph->node(graph->FindNode("loss"));
    const Value& target = graph->value(loss.inputs[1]);
    if (target.kind == Value::kInput) return counter;  // the labels
    counter.name_ = target.name;
    const std::string name = target.name;
    TAMER_RETURN_IF_ERROR(graph->AddOutput(name));
    return counter;
  }

  int64_t Count(const Batch& batch, const Dataset& data,
                const Executor& executor) const {
    if (!targets_) return batch.size;
    const int32_t* targets = batch.labels;
    int64_t all = batch.size * data.labels_per_sample;
    if (!name_.empty()) {
      const Tensor& made = executor.Output(executor.FindOutput(name_));
      targets = made.ints();
      all = made.elements();
    }
    return std::count_if(targets, targets + all,
                         [](int32_t target) { return target >= 0; });
  }

  bool of_targets() const { return targets_; }

 private:
  bool targets_ = false;
  std::string name_;  // of the output that holds them, if the graph makes them
};

}  // namespace

int64_t EvaluationBatch(const Graph& graph) {
  int64_t largest = 1;  // bytes a sample
  for (const Value& value : graph.values()) {
    const int64_t bytes =
        -value.type.shape.elements() * SizeOf(value.type.dtype);
    largest = std::max(largest, bytes);
  }
  return std::clamp<int64_t>(kMostValueBytes / largest, 1, kMostSamples);
}

MetricValues Evaluation::Values(const std::string& prefix) const {
  MetricValues values = {{prefix + "loss", loss}};
  if (!metric.empty()) values.emplace_back(prefix + metric, metric_value);
  for (const auto& value : more) {
    values.emplace_back(prefix + value.first, value.second);
  }
  return values;
}

absl::StatusOr<Evaluation> EvaluateOn(
    const Graph& network, const FinetuneDef& finetune, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler) {
  const auto begin = std::chrono::steady_clock::now();
  TAMER_ASSIGN_OR_RETURN(Graph graph, Evaluate(network, finetune));
  TAMER_ASSIGN_OR_RETURN(const Counter counter,
                         Counter::Make(finetune, &graph));
  const int64_t size = EvaluationBatch(graph);
  TAMER_ASSIGN_OR_RETURN(
      auto executor,
      Executor::Make(graph, data, InBatches(size), variables, scheduler));
  const int loss = executor->FindOutput("loss");
  const int accuracy = executor->FindOutput("accuracy");
  const std::string logits_name = finetune.has_output()
                                      ? finetune.output()
                                      : graph.value(graph.outputs()[0]).name;
  const int logits = executor->FindOutput(logits_name);
  Loader loader(Borrow(data), scaling, InOrder(size));
  Evaluation result;
  double loss_sum = 0, accuracy_sum = 0;
  int64_t counted = 0;
  std::vector<int> others;
  for (const auto& metric : finetune.metric()) {
    const std::string name = MetricName(metric);
    others.push_back(executor->FindOutput(name));
    result.more.emplace_back(name, 0.0);
  }
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    const Batch& batch = loader.Next();
    TAMER_RETURN_IF_ERROR(executor->Run(batch, i));
    const int64_t count = counter.Count(batch, data, *executor);
    counted += count;
    loss_sum += double{executor->Output(loss).floats()[0]} * count;
    if (accuracy >= 0) {
      accuracy_sum += double{executor->Output(accuracy).floats()[0]} * count;
      if (logits >= 0 && data.labels_per_sample == 1 &&
          executor->Output(logits).shape.rank() == 2) {
        CountPredictions(executor->Output(logits), batch, &result.confusion);
      }
    }
    for (size_t m = 0; m < others.size(); ++m) {
      result.more[m].second +=
          double{executor->Output(others[m]).floats()[0]} * count;
    }
    result.samples += batch.size;
  }
  counted = std::max<int64_t>(1, counted);
  for (auto& value : result.more) value.second /= counted;
  result.loss = loss_sum / counted;
  if (counter.of_targets()) {
    result.more.emplace_back("perplexity", std::exp(result.loss));
  }
  if (accuracy >= 0) {
    result.metric = "accuracy";
    result.metric_value = accuracy_sum / counted;
  } else if (finetune.loss().type_url() == "op/MeanSquaredError") {
    result.metric = "rmse";
    result.metric_value = std::sqrt(result.loss);
  }
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  return result;
}

absl::StatusOr<EpochMetrics> ValidateOn(
    const Graph& network, const FinetuneDef& finetune, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler) {
  TAMER_ASSIGN_OR_RETURN(
      const Evaluation evaluation,
      EvaluateOn(network, finetune, data, scaling, variables, scheduler));
  EpochMetrics metrics;
  metrics.values = evaluation.Values("validation_");
  return metrics;
}

absl::Status ForEachOutput(
    const Graph& graph, const std::string& output, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler,
    const std::function<void(const Tensor&, const Batch&)>& take) {
  const int64_t size = EvaluationBatch(graph);
  TAMER_ASSIGN_OR_RETURN(
      auto executor,
      Executor::Make(graph, data, InBatches(size), variables, scheduler));
  const int index = executor->FindOutput(output);
  if (index < 0) return Invalid("the network has no output \"", output, "\"");
  Loader loader(Borrow(data), scaling, InOrder(size));
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    const Batch& batch = loader.Next();
    TAMER_RETURN_IF_ERROR(executor->Run(batch, i));
    take(executor->Output(index), batch);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Dataset>> ComputeFeatures(
    const Graph& network, const std::string& value, const Dataset& data,
    const FeatureScaling& scaling, Variables* variables, Scheduler* scheduler) {
  const Shape& shape = network.value(network.FindValue(value)).type.shape;
  const int64_t width = -shape.elements();
  if (width * data.size * SizeOf(DType::kFloat) > kMostFeatureBytes) {
    return nullptr;
  }
  Graph trunk = network;
  trunk.ClearOutputs();
  TAMER_RETURN_IF_ERROR(trunk.AddOutput(value));
  TAMER_ASSIGN_OR_RETURN(trunk, Infer(trunk));
  auto features = std::make_shared<Dataset>();
  features->sample_shape = Shape({width});
  features->size = data.size;
  features->dtype = DType::kFloat;
  features->source = absl::StrCat(data.source, " at ", value);
  features->floats.reserve(width * data.size);
  TAMER_RETURN_IF_ERROR(ForEachOutput(
      trunk, trunk.value(trunk.outputs()[0]).name, data, scaling, variables,
      scheduler, [&](const Tensor& rows, const Batch& batch) {
        features->floats.insert(features->floats.end(), rows.floats(),
                                rows.floats() + batch.size * width);
      }));
  return std::shared_ptr<const Dataset>(features);
}

}  // namespace tamer
