// What it costs to be a plugin: a training step of 784-500-500-10 at minibatch
// 10 with a built-in ReLU, and with the same ReLU from a plugin, in turn.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "ops/builtin.h"
#include "plugins/host/plugins.h"

namespace tamer {
namespace {

constexpr int64_t kBatch = 10;
constexpr int kRounds = 60, kSteps = 300;

template <typename T>
T Check(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
  std::abort();
}

// A training step, ready to run.
class Step {
 public:
  Step(const OpRegistry& registry, const std::string& op)
      : features_(kBatch * 784, 0.3f), labels_(kBatch, 3) {
    const Graph network = Check(ParseGraph(
        "input { name: 'x' shape: [784] } "
        "node { name: 'h1' input: 'x' op { [op/Dense] { units: 500 } } } "
        "node { name: 'a1' input: 'h1' op { [op/" +
            op +
            "] {} } } "
            "node { name: 'h2' input: 'a1' op { [op/Dense] { units: 500 } } } "
            "node { name: 'a2' input: 'h2' op { [op/" +
            op +
            "] {} } } "
            "node { name: 'y' input: 'a2' op { [op/Dense] { units: 10 } } } "
            "output: 'y'",
        "bench", &registry));
    FinetuneDef finetune;
    finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
    SolverDef solver;
    solver.mutable_nesterov()->set_momentum(0.9f);
    const Graph graph = Check(Finetune(network, finetune, solver));
    PlanOptions options;
    options.batch = kBatch;
    plan_ = Check(Plan::Compile(graph, options, &variables_));
    plan_->BindInput(plan_->FindInput("x"), features_.data());
    plan_->BindInput(plan_->FindInput("labels"), labels_.data());
    plan_->BindInput(plan_->FindInput("learning_rate"), &rate_);
    plan_->BindInput(plan_->FindInput("momentum"), &momentum_);
  }

  // Microseconds a step.
  double Time(Scheduler& scheduler) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kSteps; ++i) {
      if (!scheduler.Run(*plan_, i).ok()) std::abort();
    }
    return std::chrono::duration<double, std::micro>(
               std::chrono::steady_clock::now() - begin)
               .count() /
           kSteps;
  }

 private:
  std::vector<float> features_;
  std::vector<int32_t> labels_;
  float rate_ = 1e-4f, momentum_ = 0.9f;
  Variables variables_;
  std::unique_ptr<Plan> plan_;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(const char* library) {
  OpRegistry registry;
  Plugins plugins("");
  absl::Status status = RegisterBuiltinOps(registry);
  status.Update(plugins.Load(library, "", registry));
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  for (int threads : {1, 2}) {
    ThreadOptions options;
    options.intra_op = threads;
    Scheduler scheduler(options);
    Step built_in(registry, "Relu"), plugin(registry, "PluginRelu");
    std::vector<double> ratios, times[2];
    built_in.Time(scheduler);
    plugin.Time(scheduler);
    for (int round = 0; round < kRounds; ++round) {
      // Who comes first alternates.
      double seen[2];
      for (int i = 0; i < 2; ++i) {
        const int which = (round + i) % 2;
        seen[which] = (which == 0 ? built_in : plugin).Time(scheduler);
      }
      ratios.push_back(seen[1] / seen[0]);
      for (int i = 0; i < 2; ++i) times[i].push_back(seen[i]);
    }
    std::printf(
        "%d thread(s): built-in %.1f us a step, plugin %.1f us; "
        "plugin / built-in: %.3f (median of %d pairs)\n",
        threads, Median(times[0]), Median(times[1]), Median(ratios), kRounds);
  }
  return 0;
}

}  // namespace
}  // namespace tamer

int main(int argc, char** argv) {
  return tamer::Main(argc > 1 ? argv[1] : "tests/bench/libplugin_relu.so");
}
