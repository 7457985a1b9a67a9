#include "core/sampling/partition.h"

#include <algorithm>
#include <cmath>

#include "core/base/random.h"

namespace tamer {
namespace {

double Softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

double LogSumExp(const std::vector<double>& x) {
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double value : x) sum += std::exp(value - most);
  return most + std::log(sum);
}

// The chains of one estimate. At inverse temperature t the state v has the
// unnormalised probability
//   exp((1 - t) base . v + t c . v) * prod_j (1 + exp(t x_j)),  x = v W + b.
class Annealer {
 public:
  Annealer(const TwoWayLayer& layer, const std::vector<float>& base,
           const PartitionOptions& options, Variables* variables,
           Scheduler* scheduler)
      : layer_(layer),
        base_(base),
        options_(options),
        variables_(variables),
        scheduler_(scheduler),
        visible_(options.chains * layer.below),
        hidden_(options.chains * layer.units),
        uniform_(std::max(visible_.size(), hidden_.size())),
        weights_(options.chains, 0.0) {}

  absl::Status Prepare(const OpRegistry& registry) {
    TAMER_ASSIGN_OR_RETURN(up_, Compile(registry, true));
    TAMER_ASSIGN_OR_RETURN(down_, Compile(registry, false));
    c_ = variables_->Find(layer_.node + "/visible_bias")->floats();
    return absl::OkStatus();
  }

  absl::StatusOr<LogPartition> Run() {
    Draw("start", 0, visible_.size());
    for (size_t i = 0; i < visible_.size(); ++i) {
      visible_[i] = uniform_[i] < Logistic(base_[i % layer_.below]);
    }
    const int64_t last = options_.temperatures;
    for (int64_t k = 1; k <= last; ++k) {
      const double before = static_cast<double>(k - 1) / last;
      const double now = static_cast<double>(k) / last;
      TAMER_RETURN_IF_ERROR(scheduler_->Run(*up_, k));
      const float* x = up_->output(0).floats();
      Weigh(x, before, now);
      if (k < last) TAMER_RETURN_IF_ERROR(Move(x, now, k));
    }
    return Estimate();
  }

 private:
  static double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

  void Draw(const char* stream, uint64_t step, int64_t count) {
    FillUniform(StreamKey(options_.seed, stream), step, count, uniform_.data());
  }

  absl::StatusOr<std::unique_ptr<Plan>> Compile(const OpRegistry& registry,
                                                bool up) {
    StackGraph graph(&registry);
    const int64_t width = up ? layer_.below : layer_.units;
    TAMER_RETURN_IF_ERROR(
        graph.graph()
            .AddInput("x", {DType::kFloat, Shape({-1, width})})
            .status());
    const std::string y = up ? graph.Up("y", layer_, "x", /*linear=*/true)
                             : graph.Down("y", layer_, "x", /*linear=*/true);
    TAMER_RETURN_IF_ERROR(graph.status());
    TAMER_RETURN_IF_ERROR(graph.graph().AddOutput(y));
    PlanOptions options;
    options.batch = options_.chains;
    TAMER_ASSIGN_OR_RETURN(auto plan,
                           Plan::Compile(graph.graph(), options, variables_));
    plan->BindInput(plan->FindInput("x"),
                    up ? visible_.data() : hidden_.data());
    return plan;
  }

  // Each chain's log weight grows by the ratio of two neighbours at its state.
  void Weigh(const float* x, double before, double now) {
    for (int64_t i = 0; i < options_.chains; ++i) {
      double ratio = 0;
      const float* v = &visible_[i * layer_.below];
      for (int64_t m = 0; m < layer_.below; ++m) {
        ratio += (now - before) * (double{c_[m]} - base_[m]) * v[m];
      }
      for (int64_t j = 0; j < layer_.units; ++j) {
        const double xj = x[i * layer_.units + j];
        ratio += Softplus(now * xj) - Softplus(before * xj);
      }
      weights_[i] += ratio;
    }
  }

  // One Gibbs step that leaves the distribution at `t` as it is.
  absl::Status Move(const float* x, double t, int64_t step) {
    Draw("hidden", step, hidden_.size());
    for (size_t i = 0; i < hidden_.size(); ++i) {
      hidden_[i] = uniform_[i] < Logistic(t * x[i]);
    }
    TAMER_RETURN_IF_ERROR(scheduler_->Run(*down_, step));
    const float* y = down_->output(0).floats();
    Draw("visible", step, visible_.size());
    for (size_t i = 0; i < visible_.size(); ++i) {
      const double argument = (1 - t) * base_[i % layer_.below] + t * y[i];
      visible_[i] = uniform_[i] < Logistic(argument);
    }
    return absl::OkStatus();
  }

  LogPartition Estimate() const {
    double first = static_cast<double>(layer_.units) * std::log(2.0);
    for (float bias : base_) first += Softplus(bias);
    const double n = static_cast<double>(weights_.size());
    const double log_mean = LogSumExp(weights_) - std::log(n);
    double squares = 0;
    for (double w : weights_) {
      const double relative = std::exp(w - log_mean) - 1;
      squares += relative * relative;
    }
    const double deviation = std::sqrt(squares / (n * std::max(1.0, n - 1)));
    LogPartition result;
    result.value = first + log_mean;
    result.high = result.value + std::log1p(3 * deviation);
    result.low = 3 * deviation < 1 ? result.value + std::log1p(-3 * deviation)
                                   : -INFINITY;
    return result;
  }

  const TwoWayLayer& layer_;
  const std::vector<float>& base_;
  const PartitionOptions& options_;
  Variables* variables_;
  Scheduler* scheduler_;
  std::unique_ptr<Plan> up_, down_;
  const float* c_ = nullptr;
  std::vector<float> visible_, hidden_, uniform_;
  std::vector<double> weights_;  // logarithms
};

}  // namespace

absl::StatusOr<LogPartition> EstimateLogPartition(
    const Product& product, const TwoWayLayer& layer,
    const std::vector<float>& base, const PartitionOptions& options,
    Variables* variables, Scheduler* scheduler) {
  if (layer.rectified || layer.visible != BERNOULLI || !layer.down_transposed) {
    return Invalid("layer \"", layer.node, "\": the partition function is ",
                   "estimated for Bernoulli units and tied weights");
  }
  if (options.chains < 2 || options.temperatures < 2) {
    return Invalid("chains and temperatures must be at least 2");
  }
  Annealer annealer(layer, base, options, variables, scheduler);
  TAMER_RETURN_IF_ERROR(annealer.Prepare(product.network.registry()));
  return annealer.Run();
}

absl::StatusOr<double> ExactLogPartition(const TwoWayLayer& layer,
                                         const Variables& variables) {
  const bool over_hidden = layer.units <= layer.below;
  const int64_t few = std::min(layer.units, layer.below);
  const int64_t many = std::max(layer.units, layer.below);
  if (few > 25) return Invalid("at most 25 units can be summed over");
  const float* w = variables.Find(layer.node + "/weight")->floats();
  const float* b = variables.Find(layer.node + "/bias")->floats();
  const float* c = variables.Find(layer.node + "/visible_bias")->floats();
  std::vector<double> energies(int64_t{1} << few);
  for (size_t state = 0; state < energies.size(); ++state) {
    double energy = 0;
    std::vector<double> sums(many);
    for (int64_t j = 0; j < many; ++j) sums[j] = over_hidden ? c[j] : b[j];
    for (int64_t i = 0; i < few; ++i) {
      if ((state >> i & 1) == 0) continue;
      energy += over_hidden ? b[i] : c[i];
      for (int64_t j = 0; j < many; ++j) {
        sums[j] +=
            over_hidden ? w[j * layer.units + i] : w[i * layer.units + j];
      }
    }
    for (double sum : sums) energy += Softplus(sum);
    energies[state] = energy;
  }
  return LogSumExp(energies);
}

}  // namespace tamer
