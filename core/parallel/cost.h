#ifndef TAMER_CORE_PARALLEL_COST_H_
#define TAMER_CORE_PARALLEL_COST_H_

#include <cstdint>

#include "proto/parallel.pb.h"

namespace tamer {

// What averaging costs, foretold. Each worker sends its share of everybody
// else's numbers, and then what it added up to all: 2 (N - 1) / N times the
// bytes, in 2 (N - 1) messages.
struct Network {
  double bits_per_second = 1e9;
  // Of a message, beside its bytes: about 10 microseconds on a good local
  // network, 25 on a common one.
  double seconds_per_message = 25e-6;
};

struct ScalingForecast {
  double bytes_sent = 0;  // by a worker in one averaging
  double averaging_seconds = 0;
  double step_seconds = 0;  // with the averaging's share
  double speedup = 1;       // samples a second, against one worker
  double efficiency = 1;    // speedup / workers
};

// Of `workers` that each take `step_seconds` a step and average
// `averaged_bytes` as `def` says (average_every, compress, overlap).
ScalingForecast ForecastScaling(const ParallelDef& def, int workers,
                                int64_t averaged_bytes, double step_seconds,
                                const Network& network);

}  // namespace tamer

#endif  // TAMER_CORE_PARALLEL_COST_H_
