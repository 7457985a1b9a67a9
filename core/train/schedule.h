#ifndef TAMER_CORE_TRAIN_SCHEDULE_H_
#define TAMER_CORE_TRAIN_SCHEDULE_H_

#include "core/base/status.h"
#include "proto/recipe.pb.h"

namespace tamer {

// An error if a number of the schedule or ramp makes no sense (NaN, a period of
// zero, a negative power).
absl::Status CheckSchedule(const SolverDef& solver);

// The learning rate at time `t`, in epochs with fractions, of a stage of
// `total` epochs: the solver's base rate by its schedule and warm-up.
double LearningRateAt(const SolverDef& solver, double t, double total);

// The momentum at time `t`: the solver's, or the ramp's before it ends. 0 for
// rules without one.
double MomentumAt(const SolverDef& solver, double t);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_SCHEDULE_H_
