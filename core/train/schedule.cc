#include "core/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace tamer {
namespace {

double BaseRate(const SolverDef& solver) {
  switch (solver.rule_case()) {
    case SolverDef::kSgd:
      return solver.sgd().learning_rate();
    case SolverDef::kNesterov:
      return solver.nesterov().learning_rate();
    case SolverDef::kAdam:
      return solver.adam().learning_rate();
    case SolverDef::kAdamw:
      return solver.adamw().learning_rate();
    case SolverDef::kRmsprop:
      return solver.rmsprop().learning_rate();
    case SolverDef::kAdagrad:
      return solver.adagrad().learning_rate();
    case SolverDef::kCustom:
      return solver.custom().learning_rate();
    case SolverDef::RULE_NOT_SET:
      break;
  }
  return 0;
}

double BaseMomentum(const SolverDef& solver) {
  if (solver.has_sgd()) return solver.sgd().momentum();
  if (solver.has_nesterov()) return solver.nesterov().momentum();
  return 0;
}

double Factor(const ScheduleDef& schedule, double t, double total) {
  const double done = total > 0 ? std::min(t / total, 1.0) : 1.0;
  switch (schedule.kind_case()) {
    case ScheduleDef::kStep:
      return std::pow(schedule.step().factor(),
                      std::floor(t / schedule.step().every()));
    case ScheduleDef::kExponential:
      return std::pow(schedule.exponential().factor(), t);
    case ScheduleDef::kInverse:
      return std::pow(1 + schedule.inverse().gamma() * t,
                      -schedule.inverse().power());
    case ScheduleDef::kPolynomial: {
      const double end = schedule.polynomial().end();
      return end +
             (1 - end) * std::pow(1 - done, schedule.polynomial().power());
    }
    case ScheduleDef::kCosine: {
      const double end = schedule.cosine().end();
      return end + (1 - end) * (1 + std::cos(M_PI * done)) / 2;
    }
    case ScheduleDef::kConstant:
    case ScheduleDef::KIND_NOT_SET:
      break;
  }
  return 1;
}

absl::Status Require(bool holds, const char* field, double seen,
                     const char* rule) {
  if (holds) return absl::OkStatus();
  return Invalid("schedule: ", field, " is ", seen, "; it must be ", rule);
}

}  // namespace

absl::Status CheckSchedule(const SolverDef& solver) {
  const ScheduleDef& s = solver.schedule();
  const auto at_least_0 = [](double x) { return std::isfinite(x) && x >= 0; };
  const auto above_0 = [](double x) { return std::isfinite(x) && x > 0; };
  TAMER_RETURN_IF_ERROR(Require(at_least_0(s.warmup()), "warmup", s.warmup(),
                                "at least 0 epochs"));
  TAMER_RETURN_IF_ERROR(Require(above_0(s.step().every()), "step.every",
                                s.step().every(), "above 0 epochs"));
  TAMER_RETURN_IF_ERROR(Require(above_0(s.step().factor()), "step.factor",
                                s.step().factor(), "above 0"));
  TAMER_RETURN_IF_ERROR(Require(above_0(s.exponential().factor()),
                                "exponential.factor", s.exponential().factor(),
                                "above 0"));
  TAMER_RETURN_IF_ERROR(Require(at_least_0(s.inverse().gamma()),
                                "inverse.gamma", s.inverse().gamma(),
                                "at least 0"));
  TAMER_RETURN_IF_ERROR(Require(at_least_0(s.inverse().power()),
                                "inverse.power", s.inverse().power(),
                                "at least 0"));
  TAMER_RETURN_IF_ERROR(Require(at_least_0(s.polynomial().power()),
                                "polynomial.power", s.polynomial().power(),
                                "at least 0"));
  TAMER_RETURN_IF_ERROR(Require(at_least_0(s.polynomial().end()),
                                "polynomial.end", s.polynomial().end(),
                                "at least 0"));
  TAMER_RETURN_IF_ERROR(Require(at_least_0(s.cosine().end()), "cosine.end",
                                s.cosine().end(), "at least 0"));
  const MomentumRampDef& ramp = solver.momentum_ramp();
  TAMER_RETURN_IF_ERROR(Require(at_least_0(ramp.start()) && ramp.start() < 1,
                                "momentum_ramp.start", ramp.start(),
                                "in [0, 1)"));
  return Require(at_least_0(ramp.epochs()), "momentum_ramp.epochs",
                 ramp.epochs(), "at least 0");
}

double LearningRateAt(const SolverDef& solver, double t, double total) {
  const ScheduleDef& schedule = solver.schedule();
  const double warmup = schedule.warmup();
  const double base = BaseRate(solver);
  if (t < warmup) return base * t / warmup;
  return base * Factor(schedule, t - warmup, total - warmup);
}

double MomentumAt(const SolverDef& solver, double t) {
  const double end = BaseMomentum(solver);
  if (!solver.has_momentum_ramp()) return end;
  const MomentumRampDef& ramp = solver.momentum_ramp();
  if (t >= ramp.epochs()) return end;
  if (ramp.jump()) return ramp.start();
  return ramp.start() + (end - ramp.start()) * t / ramp.epochs();
}

}  // namespace tamer
