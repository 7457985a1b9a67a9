#include "core/profile/profile.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "core/runtime/trial.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTracedSteps = 3;

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

int64_t BytesOf(const PlanStep& step) {
  int64_t bytes = 0;
  for (const Tensor& tensor : step.inputs) bytes += tensor.bytes();
  for (const Tensor& tensor : step.outputs) bytes += tensor.bytes();
  return bytes;
}

// Fills what the graph and the plan tell without running.
void DescribeNodes(const Graph& graph, const Plan& plan,
                   const Variables& variables, Profile* profile) {
  for (const PlanStep& step : plan.steps()) {
    const Node& node = graph.node(step.node);
    ProfiledNode one;
    one.name = step.name;
    one.op = node.op->name();
    one.flops = node.op->Flops(BoundSpec(graph, node, profile->batch));
    one.bytes = BytesOf(step);
    profile->flops += one.flops;
    profile->nodes.push_back(std::move(one));
  }
  profile->working_set = plan.arena_bytes();
  for (const auto& variable : variables.all()) {
    profile->working_set += variable.second.bytes();
  }
}

// Splits the step's time by what limits each node.
void Attribute(const Roofline& roofline, Profile* profile) {
  const double bandwidth = roofline.BandwidthFor(profile->working_set);
  for (ProfiledNode& node : profile->nodes) {
    const double compute = node.flops / roofline.matmul_flops;
    const double traffic = static_cast<double>(node.bytes) / bandwidth;
    const double least = std::max(compute, traffic);
    if (node.seconds > 0) node.share_of_roofline = least / node.seconds;
    (compute > traffic ? profile->compute_seconds : profile->traffic_seconds) +=
        std::min(least, node.seconds);
  }
  profile->overhead_seconds =
      std::max(0.0, profile->step_seconds - profile->compute_seconds -
                        profile->traffic_seconds);
}

}  // namespace

absl::StatusOr<Profile> MeasureProfile(const Graph& graph,
                                       const Roofline& roofline,
                                       const ProfileOptions& options) {
  Profile profile;
  profile.batch = options.batch;
  profile.threads =
      options.threads > 0
          ? options.threads
          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  Variables variables;
  PlanOptions plan_options;
  plan_options.batch = options.batch;
  plan_options.threads = profile.threads;
  TAMER_ASSIGN_OR_RETURN(auto plan,
                         Plan::Compile(graph, plan_options, &variables));
  TrialInputs inputs;
  // Rates that change little, so that numbers stay sane.
  inputs.Bind(graph, *plan, 1e-4f);
  DescribeNodes(graph, *plan, variables, &profile);
  ThreadOptions threads;
  threads.intra_op = profile.threads;
  Scheduler scheduler(threads);
  for (int i = 0; i < 10; ++i) {
    TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, i));
  }
  std::vector<double> whole, seconds;
  std::vector<std::vector<double>> by_node(profile.nodes.size());
  double now = 0;
  for (int i = 0; i < options.steps; ++i) {
    const auto begin = Clock::now();
    TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, i));
    whole.push_back(
        std::chrono::duration<double>(Clock::now() - begin).count());
    TAMER_RETURN_IF_ERROR(scheduler.RunTimed(*plan, i, &seconds));
    for (size_t n = 0; n < seconds.size(); ++n) {
      by_node[n].push_back(seconds[n]);
      if (i < kTracedSteps) {
        profile.events.push_back({static_cast<int>(n), now, seconds[n]});
      }
      now += seconds[n];
    }
  }
  profile.step_seconds = Median(whole);
  for (size_t n = 0; n < by_node.size(); ++n) {
    profile.nodes[n].seconds = Median(by_node[n]);
  }
  Attribute(roofline, &profile);
  return profile;
}

std::string ChromeTrace(const Profile& profile) {
  nlohmann::ordered_json trace;
  trace["displayTimeUnit"] = "ns";
  trace["traceEvents"] = nlohmann::json::array();
  for (const Profile::Event& event : profile.events) {
    const ProfiledNode& node = profile.nodes[event.node];
    trace["traceEvents"].push_back({{"name", node.name},
                                    {"cat", node.op},
                                    {"ph", "X"},
                                    {"ts", event.start * 1e6},
                                    {"dur", event.seconds * 1e6},
                                    {"pid", 1},
                                    {"tid", 1},
                                    {"args",
                                     {{"op", node.op},
                                      {"MFLOP", node.flops / 1e6},
                                      {"bytes", node.bytes}}}});
  }
  return trace.dump(1) + "\n";
}

std::string Summary(const Profile& profile, const Roofline& roofline) {
  const double step = profile.step_seconds;
  const auto percent = [&](double seconds) { return 100 * seconds / step; };
  return absl::StrFormat(
      "a step of %d takes %.1f us, %.0f samples a second, %.1f %% of the "
      "matmul peak: at the least %.1f %% of it is computing, %.1f %% memory "
      "traffic, and %.1f %% goes elsewhere",
      profile.batch, step * 1e6, profile.batch / step,
      100 * profile.flops / step / roofline.matmul_flops,
      percent(profile.compute_seconds), percent(profile.traffic_seconds),
      percent(profile.overhead_seconds));
}

}  // namespace tamer
