#ifndef TAMER_CORE_PARALLEL_COST_H_
#define TAMER_CORE_PARALLEL_COST_H_

#include <cstdint>

#include "proto/parallel.pb.h"

namespace tamer {

// What averaging costs, foretold. Of what is added up each worker sends its
// share of everybody else's numbers, and then what it added up to all: 2 (N -
// 1) / N times the bytes, in 2 (N - 1) messages. What is gathered goes from
// each to all others: N - 1 times the bytes, in as many messages.
struct Network {
  double bits_per_second = 1e9;
  // Of a message, beside its bytes: about 10 microseconds on a good local
  // network, 25 on a common one.
  double seconds_per_message = 25e-6;
};

struct ScalingForecast {
  double bytes_sent = 0;  // by a worker in one averaging
  double averaging_seconds = 0;
  double step_seconds = 0;  // of an update, with the averaging's share
  double speedup = 1;       // samples a second, against one worker
  double efficiency = 1;    // speedup / workers
};

// Bytes of one worker's numbers.
struct ExchangedBytes {
  int64_t summed = 0;
  int64_t gathered = 0;
};

// Of `workers` that each take `step_seconds` an update and exchange `bytes` as
// `def` says (average_every, compress, overlap).
ScalingForecast ForecastScaling(const ParallelDef& def, int workers,
                                const ExchangedBytes& bytes,
                                double step_seconds, const Network& network);

}  // namespace tamer

#endif  // TAMER_CORE_PARALLEL_COST_H_
