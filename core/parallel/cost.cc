#include "core/parallel/cost.h"

#include <algorithm>

namespace tamer {

ScalingForecast ForecastScaling(const ParallelDef& def, int workers,
                                const ExchangedBytes& bytes,
                                double step_seconds, const Network& network) {
  ScalingForecast forecast;
  const double summed =
      static_cast<double>(bytes.summed) * (def.compress() ? 0.5 : 1);
  const double others = workers - 1;
  double messages = 0;
  if (bytes.summed > 0) messages += 2 * others;
  if (bytes.gathered > 0) messages += others;
  forecast.bytes_sent = 2 * summed * others / workers +
                        static_cast<double>(bytes.gathered) * others;
  forecast.averaging_seconds =
      forecast.bytes_sent * 8 / network.bits_per_second +
      messages * network.seconds_per_message;
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
