// How cost grows with the work: the share of the FP32 matmul peak that a
// training step reaches over widths, depths and minibatches, and the time that
// compiling a Plan takes over the number of nodes.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "core/passes/passes.h"
#include "core/profile/roofline.h"
#include "tests/bench/jobs.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Seconds of a step: the least of some, which noise disturbs least.
double StepSeconds(const Job& job) {
  Stepper stepper(job, 0);
  double best = 1e30;
  const auto begin = Clock::now();
  for (int i = 0; i < 2000; ++i) {
    const auto before = Clock::now();
    stepper.Step();
    best = std::min(best, SecondsSince(before));
    if (i >= 3 && SecondsSince(begin) > 0.3) break;
  }
  return best;
}

void PrintShares(double peak) {
  constexpr double kMostFlops = 4e11;  // a step: a few seconds
  constexpr int64_t kMostFloats = int64_t{1} << 29;
  std::printf("%% of the FP32 matmul peak, %.0f GFLOP/s\n%-16s", peak / 1e9,
              "width x depth");
  const int64_t batches[] = {1, 4, 10, 32, 100, 256, 1024, 4096};
  for (int64_t batch : batches) {
    std::printf(" %7lld", static_cast<long long>(batch));
  }
  std::printf("\n");
  const std::pair<int64_t, int> shapes[] = {
      {128, 2},   {256, 2},  {512, 2},  {1024, 2}, {2048, 2},
      {4096, 2},  {8192, 2}, {128, 8},  {128, 32}, {128, 128},
      {128, 512}, {512, 8},  {512, 32}, {512, 128}};
  for (const auto& shape : shapes) {
    std::printf("%5lld x %-8d", static_cast<long long>(shape.first),
                shape.second);
    for (int64_t batch : batches) {
      const double weights = double(shape.first) * shape.first * shape.second;
      const double values = double(batch) * shape.first * shape.second * 3;
      if (6 * weights * batch > kMostFlops || values > kMostFloats) {
        std::printf("       -");
        continue;
      }
      const Job job = MakeStack(shape.first, shape.second, batch);
      std::printf(" %7.1f", 100 * job.Flops() / StepSeconds(job) / peak);
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

void PrintCompileTimes() {
  std::printf("\n%10s %12s %16s\n", "nodes", "compile ms", "us a node");
  for (int depth : {100, 300, 1000, 2000}) {
    const Job job = MakeStack(16, depth, 10);
    const Graph fused = Check(Fuse(job.graph));
    Variables variables;
    PlanOptions options;
    // The first compilation gives the variables their values.
    Check(Plan::Compile(fused, options, &variables));
    const auto begin = Clock::now();
    Check(Plan::Compile(fused, options, &variables));
    const double seconds = SecondsSince(begin);
    std::printf("%10zu %12.1f %16.2f\n", fused.nodes().size(), seconds * 1e3,
                seconds * 1e6 / static_cast<double>(fused.nodes().size()));
  }
}

}  // namespace
}  // namespace tamer

int main() {
  tamer::PrintCompileTimes();
  tamer::PrintShares(
      tamer::Check(tamer::MeasureMatmulPeak(tamer::Registry(), 0)));
  return 0;
}
