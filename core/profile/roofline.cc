#include "core/profile/roofline.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "core/base/parallel.h"
#include "core/graph/graph.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "proto/ops/dense.pb.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Twelve chains of multiply-adds, enough to hide the latency of two units.
constexpr int kChains = 12, kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

TAMER_VECTORIZED float MultiplyAdds(int64_t rounds) {
  Lanes sums[kChains], factor, term;
  for (int i = 0; i < kLanes; ++i) {
    factor[i] = 0.999f;
    term[i] = 0.001f;
    for (int c = 0; c < kChains; ++c) sums[c][i] = static_cast<float>(c + i);
  }
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = sums[c] * factor + term;
  }
  float total = 0;
  for (int c = 0; c < kChains; ++c) {
    for (int i = 0; i < kLanes; ++i) total += sums[c][i];
  }
  return total;
}

double MeasureFma(int threads) {
  constexpr int64_t kRounds = 2000000;
  volatile float sink = 0;
  double best = 0;
  for (int trial = 0; trial < 5; ++trial) {
    const auto begin = Clock::now();
#pragma omp parallel num_threads(threads)
    {
      const float sum = MultiplyAdds(kRounds);
#pragma omp critical
      sink = sink + sum;
    }
    const double flops = 2.0 * kChains * kLanes * kRounds * threads;
    best = std::max(best, flops / Seconds(begin));
  }
  return best;
}

// y = a x + y, as an update of parameters does it.
TAMER_VECTORIZED void Triad(const float* x, float a, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

// Each thread sweeps a share of `bytes` of its own.
double MeasureBandwidth(int threads, int64_t bytes) {
  const int64_t n = std::max<int64_t>(256, bytes / threads / 8);
  double best = 0;
  std::vector<Buffer> x(threads), y(threads);
#pragma omp parallel num_threads(threads)
  {
    const int t = omp_get_thread_num();
    x[t] = Buffer(n * 4);
    y[t] = Buffer(n * 4);
  }
  const int64_t moved = 12 * n;  // two reads and a write
  const int64_t repeats = std::max<int64_t>(1, (int64_t{64} << 20) / moved);
  for (int trial = 0; trial < 6; ++trial) {
    const auto begin = Clock::now();
#pragma omp parallel num_threads(threads)
    {
      const int t = omp_get_thread_num();
      for (int64_t r = 0; r < repeats; ++r) {
        Triad(static_cast<const float*>(x[t].data()), 1.0f, n,
              static_cast<float*>(y[t].data()));
      }
    }
    best = std::max(
        best, static_cast<double>(moved * repeats * threads) / Seconds(begin));
  }
  return best;
}

// The system's word on its caches, or what is common.
int64_t CacheBytes(int name, int64_t fallback) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : fallback;
}

}  // namespace

absl::StatusOr<double> MeasureMatmulPeak(const OpRegistry& registry,
                                         int threads) {
  constexpr int64_t kSize = 1536;
  Graph graph(&registry);
  TAMER_RETURN_IF_ERROR(
      graph.AddInput("x", {DType::kFloat, Shape({-1, kSize})}).status());
  op::Dense dense;
  dense.set_units(kSize);
  TAMER_RETURN_IF_ERROR(graph.AddNode("y", dense, {"x"}).status());
  TAMER_RETURN_IF_ERROR(graph.AddOutput("y"));
  Variables variables;
  PlanOptions options;
  options.batch = kSize;
  TAMER_ASSIGN_OR_RETURN(auto plan, Plan::Compile(graph, options, &variables));
  const std::vector<float> x(kSize * kSize, 0.5f);
  plan->BindInput(plan->FindInput("x"), x.data());
  ThreadOptions thread_options;
  thread_options.intra_op = threads;
  Scheduler scheduler(thread_options);
  double best = 0;
  for (int trial = 0; trial < 10; ++trial) {
    const auto begin = Clock::now();
    TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, trial));
    best = std::max(best, 2.0 * kSize * kSize * kSize / Seconds(begin));
  }
  return best;
}

double Roofline::BandwidthFor(int64_t working_set) const {
  for (const Level& level : levels) {
    if (working_set <= level.bytes) return level.bytes_per_second;
  }
  return levels.empty() ? 0 : levels.back().bytes_per_second;
}

absl::StatusOr<Roofline> MeasureRoofline(const OpRegistry& registry,
                                         int threads) {
  Roofline roofline;
  roofline.threads = threads;
  roofline.fma_flops = MeasureFma(threads);
  TAMER_ASSIGN_OR_RETURN(roofline.matmul_flops,
                         MeasureMatmulPeak(registry, threads));
  const int64_t l1 = CacheBytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
  const int64_t l2 = CacheBytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20);
  const int64_t l3 = CacheBytes(_SC_LEVEL3_CACHE_SIZE, 16 << 20);
  const int64_t most = int64_t{32} << 20;
  // Three quarters of each cache, of which the third is shared.
  roofline.levels = {{"L1", l1 * 3 / 4 * threads, 0},
                     {"L2", l2 * 3 / 4 * threads, 0},
                     {"L3", std::min(l3 * 3 / 4, most), 0},
                     {"memory", int64_t{512} << 20, 0}};
  for (Roofline::Level& level : roofline.levels) {
    level.bytes_per_second = MeasureBandwidth(threads, level.bytes);
  }
  return roofline;
}

}  // namespace tamer
