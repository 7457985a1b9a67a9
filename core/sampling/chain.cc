#include "core/sampling/chain.h"

#include <cstring>

#include "core/base/random.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr char kState[] = "chain/state";

// Adds the state that a chain keeps from step to step, what the top layer sees.
void AddState(StackGraph& graph, int64_t samples, const TwoWayLayer& top) {
  op::Parameter state;
  state.add_shape(samples);
  state.add_shape(top.below);
  state.set_trainable(false);
  if (top.visible == BERNOULLI) {
    state.mutable_init()->mutable_uniform()->set_low(0);
    state.mutable_init()->mutable_uniform()->set_high(1);
  } else {
    state.mutable_init()->mutable_gaussian()->set_stddev(1);
  }
  graph.Add(kState, state, {});
}

absl::StatusOr<std::unique_ptr<Plan>> Compile(StackGraph& graph,
                                              int64_t samples, uint64_t seed,
                                              Variables* variables) {
  TAMER_RETURN_IF_ERROR(graph.status());
  PlanOptions options;
  options.batch = samples;
  options.seed = seed;
  return Plan::Compile(graph.graph(), options, variables);
}

// The state that samples of the input lead to.
absl::Status StartFrom(const std::vector<TwoWayLayer>& stack,
                       const ChainOptions& options, Product* product,
                       Scheduler* scheduler) {
  StackGraph up(&product->network.registry());
  TAMER_RETURN_IF_ERROR(
      up.graph()
          .AddInput("input", {DType::kFloat, Shape({-1, stack[0].below})})
          .status());
  std::string x = "input";
  for (size_t i = 0; i + 1 < stack.size(); ++i) {
    x = up.Up("up/" + stack[i].node, stack[i], x);
  }
  TAMER_RETURN_IF_ERROR(up.status());
  TAMER_RETURN_IF_ERROR(up.graph().AddOutput(x));
  TAMER_ASSIGN_OR_RETURN(auto plan, Compile(up, options.samples, options.seed,
                                            &product->variables));
  plan->BindInput(plan->FindInput("input"), options.start);
  TAMER_RETURN_IF_ERROR(scheduler->Run(*plan, 0));
  const Tensor& state = *product->variables.Find(kState);
  std::memcpy(state.data, plan->FindOutput(x).data, state.bytes());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<float>> RunChains(Product* product,
                                             const ChainOptions& options,
                                             Scheduler* scheduler) {
  if (options.samples < 1 || options.steps < 1) {
    return Invalid("samples and steps must be at least 1");
  }
  TAMER_ASSIGN_OR_RETURN(const std::vector<TwoWayLayer> stack,
                         FindStack(*product, options.layer));
  const TwoWayLayer& top = stack.back();
  if (product->variables.Find(kState) != nullptr) {
    product->variables.Remove(kState);
  }

  StackGraph step(&product->network.registry());
  AddState(step, options.samples, top);
  const std::string hidden = step.SampleHidden("chain/hidden", top, kState);
  const std::string next = step.SampleVisible(
      "chain/visible", top, step.Down("chain/visible_mean", top, hidden));
  step.Add("chain/keep", op::Assign(), {kState, next});
  TAMER_ASSIGN_OR_RETURN(
      auto chain,
      Compile(step, options.samples, options.seed, &product->variables));

  StackGraph end(&product->network.registry());
  AddState(end, options.samples, top);
  std::string x = end.SampleHidden("end/hidden", top, kState);
  for (size_t i = stack.size(); i-- > 0;) {
    x = end.Down("end/" + stack[i].node, stack[i], x);
    if (i > 0)
      x = end.SampleVisible("end/sample_" + stack[i].node, stack[i], x);
  }
  TAMER_RETURN_IF_ERROR(end.status());
  TAMER_RETURN_IF_ERROR(end.graph().AddOutput(x));
  TAMER_ASSIGN_OR_RETURN(auto last, Compile(end, options.samples, options.seed,
                                            &product->variables));

  if (options.start != nullptr) {
    TAMER_RETURN_IF_ERROR(StartFrom(stack, options, product, scheduler));
  }
  for (int64_t i = 0; i + 1 < options.steps; ++i) {
    TAMER_RETURN_IF_ERROR(scheduler->Run(*chain, i));
  }
  TAMER_RETURN_IF_ERROR(scheduler->Run(*last, options.steps));
  const Tensor made = last->FindOutput(x);
  return std::vector<float>(made.floats(), made.floats() + made.elements());
}

}  // namespace tamer
