#include "core/train/pretraining.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "core/train/evaluate.h"
#include "core/train/executor.h"
#include "proto/ops/dense.pb.h"

namespace tamer {
namespace {

constexpr int64_t kWatched = 1000;
constexpr int kBins = 10;

// Mean of each unit that the layer reads, over the training data.
absl::StatusOr<std::vector<double>> MeanBelow(const PretrainSetup& setup,
                                              const std::string& node,
                                              Variables* variables,
                                              Scheduler* scheduler) {
  Graph trunk = setup.network;
  trunk.ClearOutputs();
  const Node& reader = trunk.node(trunk.FindNode(node));
  TAMER_RETURN_IF_ERROR(trunk.AddOutput(trunk.value(reader.inputs[0]).name));
  TAMER_ASSIGN_OR_RETURN(trunk, Infer(trunk));
  std::vector<double> sums;
  TAMER_RETURN_IF_ERROR(ForEachOutput(
      trunk, trunk.value(trunk.outputs()[0]).name, *setup.train, setup.scaling,
      variables, scheduler, [&](const Tensor& rows, const Batch& batch) {
        // Of images [B, channels, height, width] each channel's is wanted.
        const bool images = rows.shape.rank() == 4;
        const int64_t units = images ? rows.shape.dim(1) : rows.shape.back();
        const int64_t each = images ? rows.shape.dim(2) * rows.shape.dim(3) : 1;
        sums.resize(units);
        for (int64_t i = 0; i < batch.size * units * each; ++i) {
          sums[i / each % units] +=
              rows.floats()[i] / static_cast<double>(each);
        }
      }));
  for (double& sum : sums) sum /= static_cast<double>(setup.train->size);
  return sums;
}

float LogitOf(double p) {
  // A pixel that is never on would begin at minus infinity.
  constexpr double kLeast = 1e-4;
  p = std::min(std::max(p, kLeast), 1 - kLeast);
  return static_cast<float>(std::log(p / (1 - p)));
}

absl::Status Fill(const StartValue& start, const std::vector<double>& means,
                  const Variables& variables, const Tensor& to) {
  if (start.rule == StartValue::kTransposed) {
    const Tensor* from = variables.Find(start.source);
    if (from == nullptr) return Invalid("no parameter ", start.source);
    const int64_t rows = from->shape.dim(0), columns = from->shape.dim(1);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        to.floats()[c * rows + r] = from->floats()[r * columns + c];
      }
    }
    return absl::OkStatus();
  }
  for (int64_t i = 0; i < to.elements(); ++i) {
    to.floats()[i] = start.rule == StartValue::kConstant ? start.constant
                     : start.rule == StartValue::kMean
                         ? static_cast<float>(means[i])
                         : LogitOf(means[i]);
  }
  return absl::OkStatus();
}

std::shared_ptr<const Dataset> FirstOf(const Dataset& data) {
  std::vector<int64_t> rows(std::min(kWatched, data.size));
  std::iota(rows.begin(), rows.end(), 0);
  return Select(data, rows);
}

double MeanOf(const Tensor& tensor) {
  double sum = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) sum += tensor.floats()[i];
  return sum / static_cast<double>(tensor.elements());
}

}  // namespace

absl::StatusOr<PretrainSetup> SetUpPretraining(
    const Graph& network, const PretrainLayer& layer, const SolverDef& solver,
    const TrainingData& data, Variables* variables, Scheduler* scheduler) {
  PretrainSetup setup(&network.registry());
  setup.network = network;
  setup.train = data.train;
  setup.validation = data.validation;
  setup.scaling = data.scaling;
  const NodeId node = network.FindNode(layer.node());
  // Changed samples make other features in each epoch.
  if (!data.changes() && LearnsOneLayer(layer) && node >= 0 &&
      !network.node(node).inputs.empty() &&
      network.value(network.node(node).inputs[0]).kind == Value::kOutput) {
    const std::string& below = network.value(network.node(node).inputs[0]).name;
    TAMER_ASSIGN_OR_RETURN(auto features,
                           ComputeFeatures(network, below, *data.train,
                                           data.scaling, variables, scheduler));
    if (features != nullptr) {
      setup.train = features;
      if (data.validation != nullptr) {
        TAMER_ASSIGN_OR_RETURN(
            setup.validation,
            ComputeFeatures(network, below, *data.validation, data.scaling,
                            variables, scheduler));
      }
      setup.scaling = FeatureScaling();
      TAMER_ASSIGN_OR_RETURN(setup.network, CutBelow(network, below));
    }
  }
  TAMER_ASSIGN_OR_RETURN(setup.graph, Pretrain(setup.network, layer, solver));
  return setup;
}

absl::Status ApplyStartValues(const PretrainSetup& setup,
                              const PretrainLayer& layer, Variables* variables,
                              Scheduler* scheduler) {
  for (const StartValue& start : StartValues(setup.network, layer)) {
    if (variables->Find(start.unless) != nullptr) continue;
    const ValueId id = setup.graph.FindValue(start.variable);
    if (id < 0) continue;
    std::vector<double> means;
    if (start.rule == StartValue::kMean ||
        start.rule == StartValue::kLogitOfMean) {
      const std::string node =
          start.variable.substr(0, start.variable.find_last_of('/'));
      TAMER_ASSIGN_OR_RETURN(means,
                             MeanBelow(setup, node, variables, scheduler));
    }
    const Tensor* present = variables->Find(start.variable);
    Tensor to = present != nullptr ? *present : Tensor();
    if (present == nullptr) {
      TAMER_ASSIGN_OR_RETURN(
          to, variables->Add(start.variable, setup.graph.value(id).type));
    }
    TAMER_RETURN_IF_ERROR(Fill(start, means, *variables, to));
  }
  return absl::OkStatus();
}

class RbmMonitor::Impl {
 public:
  Impl(const PretrainSetup& setup, const PretrainLayer& layer,
       Variables* variables, Scheduler* scheduler)
      : node_(layer.node()),
        scaling_(setup.scaling),
        variables_(variables),
        scheduler_(scheduler),
        train_(FirstOf(*setup.train)) {
    if (setup.validation != nullptr) validation_ = FirstOf(*setup.validation);
  }

  absl::Status SetUp(const PretrainSetup& setup, const PretrainLayer& layer) {
    TAMER_ASSIGN_OR_RETURN(const Graph graph, MonitorRbm(setup.network, layer));
    for (auto data : {train_, validation_}) {
      if (data == nullptr) continue;
      ExecutorOptions options;
      options.batch = data->size;
      TAMER_ASSIGN_OR_RETURN(
          executors_.emplace_back(),
          Executor::Make(graph, *data, options, variables_, scheduler_));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<EpochMetrics> Measure() {
    EpochMetrics metrics;
    const Executor& seen = *executors_[0];
    TAMER_RETURN_IF_ERROR(RunOn(0, *train_));
    const int binary = seen.FindOutput("binary_free_energy");
    if (binary >= 0) {
      metrics.values.emplace_back("pseudo_likelihood", PseudoLikelihood(seen));
    }
    const int energy = seen.FindOutput("free_energy");
    const double train_energy = MeanOf(seen.Output(energy));
    metrics.values.emplace_back("free_energy", train_energy);
    AddActivities(seen.Output(seen.FindOutput(node_)), &metrics);
    AddNorms(&metrics);
    if (validation_ != nullptr) {
      TAMER_RETURN_IF_ERROR(RunOn(1, *validation_));
      metrics.values.emplace_back(
          "free_energy_gap",
          MeanOf(executors_[1]->Output(energy)) - train_energy);
    }
    return metrics;
  }

 private:
  absl::Status RunOn(int which, const Dataset& data) {
    LoaderOptions options;
    options.batch = data.size;
    options.shuffle = false;
    options.prefetch = false;
    Loader loader(which == 0 ? train_ : validation_, scaling_, options);
    return executors_[which]->Run(loader.Next(), 0);
  }

  // width * mean log s(F(flipped) - F): one bit of each sample stands for all
  // (Besag 1975, by the estimate of Tieleman 2008).
  double PseudoLikelihood(const Executor& seen) const {
    const Tensor& as_is = seen.Output(seen.FindOutput("binary_free_energy"));
    const Tensor& flipped = seen.Output(seen.FindOutput("flipped_free_energy"));
    double sum = 0;
    for (int64_t i = 0; i < as_is.elements(); ++i) {
      const double rise = double{flipped.floats()[i]} - as_is.floats()[i];
      sum -= rise < 0 ? std::log1p(std::exp(rise)) - rise
                      : std::log1p(std::exp(-rise));
    }
    const int64_t width = variables_->Find(node_ + "/weight")->shape.dim(0);
    return sum / static_cast<double>(as_is.elements()) *
           static_cast<double>(width);
  }

  static void AddActivities(const Tensor& hidden, EpochMetrics* metrics) {
    metrics->values.emplace_back("hidden_mean", MeanOf(hidden));
    std::vector<double> bins(kBins, 0);
    float most = 1;  // rectified units go higher
    for (int64_t i = 0; i < hidden.elements(); ++i) {
      most = std::max(most, hidden.floats()[i]);
    }
    for (int64_t i = 0; i < hidden.elements(); ++i) {
      const int bin = static_cast<int>(hidden.floats()[i] / most * kBins);
      bins[std::min(std::max(bin, 0), kBins - 1)] += 1.0 / hidden.elements();
    }
    metrics->series.emplace_back("hidden_histogram", bins);
  }

  void AddNorms(EpochMetrics* metrics) const {
    const Tensor& weight = *variables_->Find(node_ + "/weight");
    std::vector<double> squares(weight.shape.dim(1), 0);
    for (int64_t i = 0; i < weight.elements(); ++i) {
      squares[i % squares.size()] +=
          double{weight.floats()[i]} * weight.floats()[i];
    }
    double sum = 0;
    for (double square : squares) sum += std::sqrt(square);
    metrics->values.emplace_back("weight_norm", sum / squares.size());
  }

  const std::string node_;
  const FeatureScaling scaling_;
  Variables* variables_;
  Scheduler* scheduler_;
  std::shared_ptr<const Dataset> train_, validation_;
  std::vector<std::unique_ptr<Executor>> executors_;
};

RbmMonitor::RbmMonitor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RbmMonitor::~RbmMonitor() = default;

bool RbmMonitor::Watches(const PretrainSetup& setup,
                         const PretrainLayer& layer) {
  if (!layer.has_rbm() || layer.rbm().visible() == RECTIFIED) return false;
  const Node& node = setup.network.node(setup.network.FindNode(layer.node()));
  if (node.params->GetDescriptor() != op::Dense::descriptor()) return false;
  return static_cast<const op::Dense&>(*node.params).activation() ==
         op::SIGMOID;
}

absl::StatusOr<std::unique_ptr<RbmMonitor>> RbmMonitor::Make(
    const PretrainSetup& setup, const PretrainLayer& layer,
    Variables* variables, Scheduler* scheduler) {
  auto impl = std::make_unique<Impl>(setup, layer, variables, scheduler);
  TAMER_RETURN_IF_ERROR(impl->SetUp(setup, layer));
  return std::unique_ptr<RbmMonitor>(new RbmMonitor(std::move(impl)));
}

absl::StatusOr<EpochMetrics> RbmMonitor::Measure() { return impl_->Measure(); }

}  // namespace tamer
