#include "core/parallel/rates.h"

#include "core/base/status.h"

namespace tamer {
namespace {

// Between averagings each worker must bear the rate alone, on its own small
// minibatches: times 16 those of docs/parallel.md diverged, times 8 none did.
constexpr int kMostAlone = 8;

RateCorrection Auto(const ParallelDef& def, int workers) {
  if (def.has_outer() || def.has_block_momentum()) {
    return {1, "AUTO: the outer step has a rate of its own"};
  }
  if (def.has_elastic()) {
    return {1, "AUTO: elastic workers explore at the rate of one"};
  }
  if (def.average_every() > 1 && workers > kMostAlone) {
    return {static_cast<float>(kMostAlone),
            absl::StrCat("AUTO: ", workers,
                         " workers take fewer steps, but "
                         "between averagings each must bear the rate alone")};
  }
  return {static_cast<float>(workers),
          absl::StrCat("AUTO: ", workers, " workers take ", workers,
                       " times fewer steps over the data, along a mean that is "
                       "less noisy")};
}

}  // namespace

RateCorrection CorrectRate(const ParallelDef& def, int workers) {
  if (workers <= 1) return {1, "one worker"};
  switch (def.learning_rate_correction()) {
    case ParallelDef::NONE:
      return {1, "NONE"};
    case ParallelDef::DIVIDE:
      return {1.0f / workers, "DIVIDE"};
    case ParallelDef::SCALE:
      return {static_cast<float>(workers), "SCALE"};
    case ParallelDef::AUTO:
      break;
  }
  return Auto(def, workers);
}

absl::Status CheckParallel(const ParallelDef& def) {
  if (def.workers() < 0 || def.workers() > 65536) {
    return Invalid("parallel: workers is ", def.workers(),
                   "; it must be 0 to 65536");
  }
  if (def.workers() == 0 && def.transport() == ParallelDef::THREADS &&
      !def.has_collective()) {
    return Invalid("parallel: workers is 0, which only mpirun can tell; with ",
                   "THREADS say how many");
  }
  if (def.average_every() < 1) {
    return Invalid("parallel: average_every is ", def.average_every(),
                   "; it must be 1 or more steps");
  }
  if (def.has_gradients() && def.average_every() != 1) {
    return Invalid("parallel: gradients are averaged in every step; leave out ",
                   "average_every, or use averaging {}");
  }
  const bool outer =
      def.has_outer() || def.has_block_momentum() || def.has_elastic();
  if (def.overlap() && (outer || def.compress() || def.has_gradients())) {
    return Invalid(
        "parallel: overlap goes with averaging {} and post_local {} ",
        "alone, without compress");
  }
  if (def.compress() && def.has_elastic()) {
    return Invalid("parallel: compress does not go with elastic {}");
  }
  const float momentum = def.has_outer() ? def.outer().momentum()
                                         : def.block_momentum().momentum();
  if (outer && !def.has_elastic() && momentum >= 1) {
    return Invalid("parallel: the outer momentum is ", momentum,
                   "; it must be below 1");
  }
  if (def.has_outer() && !(def.outer().rate() > 0)) {
    return Invalid("parallel: the outer rate is ", def.outer().rate(),
                   "; it must be above 0");
  }
  return absl::OkStatus();
}

}  // namespace tamer
