#include <algorithm>

#include "core/advise/rule.h"
#include "core/train/schedule.h"

// How learning rates change while a stage runs.

namespace tamer {
namespace {

void LateWarmup(const Subject& subject, Findings& findings) {
  ForEachSolver(
      subject, [&](const StageFacts& stage, const SolverFacts& solver) {
        const double warmup = solver.def->schedule().warmup();
        if (warmup * 2 <= stage.epochs) return;
        const double mend = std::max(0.1, 0.05 * stage.epochs);
        findings
            .InRecipe(stage.name(), solver.path + ".schedule.warmup",
                      absl::StrCat("warmup takes ", Number(warmup), " of ",
                                   stage.epochs, " epochs"),
                      absl::StrCat("warmup: ", Number(mend)))
            .edits = SetField(solver.path + ".schedule.warmup", Number(mend));
      });
}

// The rate a fifth of the way, and half way, against the highest.
void VanishingRate(const Subject& subject, Findings& findings) {
  ForEachSolver(subject, [&](const StageFacts& stage,
                             const SolverFacts& solver) {
    if (!solver.def->has_schedule() || solver.rate <= 0 || stage.epochs < 2) {
      return;
    }
    const double half =
        LearningRateAt(*solver.def, stage.epochs / 2.0, stage.epochs);
    if (half >= solver.rate * 1e-3 ||
        solver.def->schedule().warmup() * 2 > stage.epochs) {
      return;
    }
    findings
        .InRecipe(stage.name(), solver.path + ".schedule",
                  absl::StrCat("after half of the epochs the rate is ",
                               Number(half), ", of ", Number(solver.rate)),
                  "schedule { cosine {} }")
        .edits = SetField(solver.path + ".schedule", "{ cosine {} }");
  });
}

void GrowingRate(const Subject& subject, Findings& findings) {
  ForEachSolver(subject, [&](const StageFacts& stage,
                             const SolverFacts& solver) {
    if (!solver.def->has_schedule() || solver.rate <= 0) return;
    const double last = LearningRateAt(*solver.def, stage.epochs, stage.epochs);
    if (last <= solver.rate * 1.5) return;
    findings
        .InRecipe(stage.name(), solver.path + ".schedule",
                  absl::StrCat("the rate grows from ", Number(solver.rate),
                               " to ", Number(last)),
                  "a factor below 1, or schedule { cosine {} }")
        .edits = SetField(solver.path + ".schedule", "{ cosine {} }");
  });
}

}  // namespace

std::vector<Rule> ScheduleRules() {
  return {
      {43,
       {"late-warmup", Severity::kWarning,
        "Warmup is for the first few per cent of a run; it never reaches its "
        "rate if it takes most of it.",
        "Goyal et al. 2017, 2.2"},
       LateWarmup},
      {18,
       {"vanishing-rate", Severity::kWarning,
        "A schedule that takes the rate to nothing early wastes the rest of "
        "the epochs.",
        "Bengio 2012, Practical recommendations, 3.1.1"},
       VanishingRate},
      {14,
       {"growing-rate", Severity::kWarning,
        "After warmup a rate only falls: one that grows without end diverges.",
        "Bengio 2012, Practical recommendations, 3.1.1"},
       GrowingRate},
  };
}

}  // namespace tamer
