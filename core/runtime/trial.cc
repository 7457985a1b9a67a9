#include "core/runtime/trial.h"

#include <algorithm>
#include <chrono>

#include "core/base/random.h"
#include "core/runtime/scheduler.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

// Operations in a step that is worth every core, and bytes of variables that
// are not worth making a second time.
constexpr double kLargeStep = 1e8;
constexpr int64_t kLargeVariables = int64_t{64} << 20;

constexpr double kTrialSeconds = 0.004;
constexpr double kNoise = 0.05;
constexpr double kLeastGain = 1e-6;  // seconds: what waking a thread costs

bool PlainlyLarge(const Graph& graph, int64_t batch) {
  int64_t bytes = 0;
  for (ValueId id : graph.variables()) {
    const TensorType& type = graph.value(id).type;
    bytes += type.shape.elements() * SizeOf(type.dtype);
  }
  double flops = 0;
  for (const Node& node : graph.nodes()) {
    flops += node.op->Flops(BoundSpec(graph, node, batch));
  }
  return bytes > kLargeVariables || flops > kLargeStep;
}

// Seconds a step, the least of several: what else runs only adds to it.
absl::StatusOr<double> TimeStep(const Graph& graph, PlanOptions options,
                                int threads) {
  options.threads = threads;
  Variables variables;
  TAMER_ASSIGN_OR_RETURN(auto plan, Plan::Compile(graph, options, &variables));
  TrialInputs inputs;
  inputs.Bind(graph, *plan, 0);
  ThreadOptions thread_options;
  thread_options.intra_op = threads;
  Scheduler scheduler(thread_options);
  double best = 1e30;
  const auto begin = Clock::now();
  auto before = begin;
  for (int step = 0; step < 1000; ++step) {
    TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, step));
    const auto now = Clock::now();
    best = std::min(best, std::chrono::duration<double>(now - before).count());
    before = now;
    if (step >= 3 && now - begin > std::chrono::duration<double>(kTrialSeconds))
      break;
  }
  return best;
}

}  // namespace

void TrialInputs::Bind(const Graph& graph, Plan& plan, float scalar) {
  for (ValueId id : graph.inputs()) {
    const int input = plan.FindInput(graph.value(id).name);
    if (input < 0) continue;
    const TensorType& type = plan.input_type(input);
    const int64_t n = type.shape.elements();
    buffers_.emplace_back(n * SizeOf(type.dtype));
    float* data = static_cast<float*>(buffers_.back().data());
    if (type.dtype == DType::kFloat) FillUniform(id, 0, n, data);
    if (type.dtype == DType::kFloat && type.shape.rank() == 0) data[0] = scalar;
    plan.BindInput(input, data);
  }
}

absl::StatusOr<int> ChooseThreads(const Graph& graph,
                                  const PlanOptions& options, int most) {
  if (most <= 1 || PlainlyLarge(graph, options.batch)) return std::max(1, most);
  int chosen = 1;
  TAMER_ASSIGN_OR_RETURN(double best, TimeStep(graph, options, 1));
  for (int threads = 2; threads <= most;
       threads = std::min(2 * threads, most)) {
    TAMER_ASSIGN_OR_RETURN(const double seconds,
                           TimeStep(graph, options, threads));
    if (seconds < best * (1 - kNoise) - kLeastGain) {
      best = seconds;
      chosen = threads;
    }
    if (threads == most) break;
  }
  return chosen;
}

}  // namespace tamer
