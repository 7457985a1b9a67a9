#ifndef TAMER_CORE_PROFILE_PROFILE_H_
#define TAMER_CORE_PROFILE_PROFILE_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/profile/roofline.h"

namespace tamer {

// Where the time of a step goes.
struct ProfiledNode {
  std::string name, op;
  double seconds = 0;  // median over the steps timed
  double flops = 0;
  int64_t bytes = 0;  // of inputs, variables and outputs, each counted once
  // The least that flops and bytes need on this machine, over `seconds`.
  double share_of_roofline = 0;
};

struct Profile {
  int64_t batch = 0;
  int threads = 1;
  std::vector<ProfiledNode> nodes;  // in the order they run
  double step_seconds = 0;          // median of whole steps, untimed inside
  double flops = 0;
  int64_t working_set = 0;  // bytes that a step touches
  // Start and length of each node in the steps timed, for the trace.
  struct Event {
    int node;
    double start, seconds;
  };
  std::vector<Event> events;

  // Lower bounds and what is left over; they add up to step_seconds.
  double compute_seconds = 0;   // of nodes that computing limits
  double traffic_seconds = 0;   // of nodes that memory limits
  double overhead_seconds = 0;  // the rest
};

struct ProfileOptions {
  int64_t batch = 10;
  int threads = 0;  // 0: all cores
  int steps = 200;
};

// Runs `graph` on random inputs (labels are zero) and times every node.
absl::StatusOr<Profile> MeasureProfile(const Graph& graph,
                                       const Roofline& roofline,
                                       const ProfileOptions& options);

// The events in Chrome's trace format, as chrome://tracing and Perfetto read.
std::string ChromeTrace(const Profile& profile);

// "step 310 us: 48 % of the matmul peak; …".
std::string Summary(const Profile& profile, const Roofline& roofline);

}  // namespace tamer

#endif  // TAMER_CORE_PROFILE_PROFILE_H_
