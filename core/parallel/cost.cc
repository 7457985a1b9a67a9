#include "core/parallel/cost.h"

#include <algorithm>

namespace tamer {

ScalingForecast ForecastScaling(const ParallelDef& def, int workers,
                                int64_t averaged_bytes, double step_seconds,
                                const Network& network) {
  ScalingForecast forecast;
  const double bytes =
      static_cast<double>(averaged_bytes) * (def.compress() ? 0.5 : 1);
  const double others = workers - 1;
  forecast.bytes_sent = 2 * bytes * others / workers;
  forecast.averaging_seconds =
      forecast.bytes_sent * 8 / network.bits_per_second +
      2 * others * network.seconds_per_message;
  const double period = step_seconds * def.average_every();
  const double spent = def.overlap()
                           ? std::max(period, forecast.averaging_seconds)
                           : period + forecast.averaging_seconds;
  forecast.step_seconds = spent / def.average_every();
  forecast.efficiency = step_seconds / forecast.step_seconds;
  forecast.speedup = forecast.efficiency * workers;
  return forecast;
}

}  // namespace tamer
