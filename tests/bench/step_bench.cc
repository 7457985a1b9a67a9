// The hot paths of training and inference, each as samples a second and as a
// share of the matmul peak that oneDNN reaches on this machine in this very
// run.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <memory>
#include <vector>

#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "google/protobuf/text_format.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

constexpr char kNetwork[] = R"(
  name: "mlp"
  input { name: "pixels" shape: [784] }
  node { name: "h1" input: "pixels" op { [op/Dense] { units: 500 activation: SIGMOID } } }
  node { name: "h2" input: "h1" op { [op/Dense] { units: 250 activation: SIGMOID } } }
  node { name: "logits" input: "h2" op { [op/Dense] { units: 10 } } }
  output: "logits")";

template <typename T>
T Check(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  if (!google::protobuf::TextFormat::ParseFromString(text, &message)) abort();
  return message;
}

const OpRegistry& Registry() {
  static const OpRegistry* registry = [] {
    auto* made = new OpRegistry;
    if (!RegisterBuiltinOps(*made).ok()) std::abort();
    return made;
  }();
  return *registry;
}

Graph Network() { return Check(ParseGraph(kNetwork, "mlp", &Registry())); }

Graph TrainGraph() {
  FinetuneDef finetune;
  finetune.mutable_loss()->set_type_url("op/SoftmaxCrossEntropy");
  return Check(Finetune(
      Network(), finetune,
      Parse<SolverDef>("nesterov { learning_rate: 0.1 momentum: 0.9 }")));
}

Graph RbmGraph() {
  return Check(
      Pretrain(Network(), Parse<PretrainLayer>("node: 'h1' rbm {}"),
               Parse<SolverDef>("sgd { learning_rate: 0.1 momentum: 0.5 }")));
}

Graph InferGraph() { return Check(Infer(Network())); }

// GFLOP/s of a large oneDNN matmul on all cores: the best of several.
double MatmulPeak() {
  using dnnl::memory;
  constexpr int64_t n = 1536;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc desc({n, n}, memory::data_type::f32,
                          memory::format_tag::ab);
  const dnnl::matmul matmul(
      dnnl::matmul::primitive_desc({desc, desc, desc}, engine));
  Buffer buffers[3] = {Buffer(n * n * 4), Buffer(n * n * 4), Buffer(n * n * 4)};
  memory a(desc, engine, buffers[0].data()), b(desc, engine, buffers[1].data()),
      c(desc, engine, buffers[2].data());
  double best = 0;
  for (int i = 0; i < 12; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    matmul.execute(
        stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
    stream.wait();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count();
    best = std::max(best, 2.0 * n * n * n / seconds);
  }
  return best;
}

double Peak() {
  static const double peak = [] {
    const double measured = MatmulPeak();
    std::printf("matmul peak of this machine: %.0f GFLOP/s\n", measured / 1e9);
    return measured;
  }();
  return peak;
}

// The graph's matrix products alone: elementwise work is overhead.
double MatmulFlops(const Graph& graph, int64_t batch) {
  double flops = 0;
  for (const Node& node : graph.nodes()) {
    const std::string& name = node.op->name();
    if (name != "Dense" && name != "Affine" && name != "MatMul") continue;
    flops += node.op->Flops(BoundSpec(graph, node, batch));
  }
  return flops;
}

void RunGraph(benchmark::State& state, const Graph& unfused) {
  const int64_t batch = state.range(0);
  const double peak = Peak();
  Variables variables;
  const Graph graph = Check(Fuse(unfused));
  PlanOptions options;
  options.batch = batch;
  auto plan = Check(Plan::Compile(graph, options, &variables));
  Scheduler scheduler{ThreadOptions()};
  std::vector<float> pixels(batch * 784);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = i % 7 < 2 ? 0.8f : 0.f;
  std::vector<int32_t> labels(batch);
  for (int64_t i = 0; i < batch; ++i) labels[i] = i % 10;
  // So small that the weights stay as they are, whatever the number of steps.
  const float rate = 1e-6f, momentum = 0.5f;
  const auto bind = [&](const char* name, const void* data) {
    const int input = plan->FindInput(name);
    if (input >= 0) plan->BindInput(input, data);
  };
  bind("pixels", pixels.data());
  bind("labels", labels.data());
  bind("learning_rate", &rate);
  bind("momentum", &momentum);
  uint64_t step = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (auto _ : state) {
    const absl::Status status = scheduler.Run(*plan, step++);
    if (!status.ok())
      state.SkipWithError(std::string(status.message()).c_str());
  }
  state.SetItemsProcessed(state.iterations() * batch);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  const double rate_of_flops =
      MatmulFlops(unfused, batch) * static_cast<double>(step) / seconds;
  state.counters["percent_of_peak"] = 100 * rate_of_flops / peak;
}

void BM_TrainMlpNesterov(benchmark::State& state) {
  RunGraph(state, TrainGraph());
}
BENCHMARK(BM_TrainMlpNesterov)->Arg(10)->Arg(100)->UseRealTime();

void BM_RbmCd1(benchmark::State& state) { RunGraph(state, RbmGraph()); }
BENCHMARK(BM_RbmCd1)->Arg(10)->Arg(100)->UseRealTime();

void BM_InferMlp(benchmark::State& state) { RunGraph(state, InferGraph()); }
BENCHMARK(BM_InferMlp)->Arg(1)->Arg(100)->UseRealTime();

}  // namespace
}  // namespace tamer

BENCHMARK_MAIN();
