// The hot paths of training and inference under Google Benchmark, each as
// samples a second and as a share of the matmul peak measured in this very run.

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>

#include "core/profile/roofline.h"
#include "tests/bench/jobs.h"

namespace tamer {
namespace {

double Peak() {
  static const double peak = [] {
    const double measured = Check(MeasureMatmulPeak(Registry(), 0));
    std::printf("matmul peak of this machine: %.0f GFLOP/s\n", measured / 1e9);
    return measured;
  }();
  return peak;
}

void RunJob(benchmark::State& state, const std::string& name) {
  const double peak = Peak();
  const Job job = MakeJob(name);
  Stepper stepper(job, 0);
  for (int i = 0; i < 10; ++i) stepper.Step();
  const auto begin = std::chrono::steady_clock::now();
  for (auto _ : state) stepper.Step();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  const double steps = static_cast<double>(state.iterations());
  state.SetItemsProcessed(state.iterations() * job.batch);
  state.counters["percent_of_peak"] =
      100 * job.Flops() * steps / seconds / peak;
}

}  // namespace
}  // namespace tamer

int main(int argc, char** argv) {
  for (const std::string& name : tamer::JobNames()) {
    benchmark::RegisterBenchmark(name.c_str(), [name](benchmark::State& state) {
      tamer::RunJob(state, name);
    })->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
