#include <algorithm>
#include <thread>

#include "core/advise/rule.h"

// Several workers. docs/parallel.md has the measurements.

namespace tamer {
namespace {

bool HasOuterStep(const ParallelDef& def) {
  return def.has_outer() || def.has_block_momentum() || def.has_elastic();
}

void AveragingRate(const Subject& subject, Findings& findings) {
  const RecipeDef& def = subject.def();
  const ParallelDef& parallel = def.parallel();
  if (!def.has_parallel() || parallel.workers() == 1) return;
  const auto correction = parallel.learning_rate_correction();
  const bool outer = HasOuterStep(parallel);
  const bool divides = correction == ParallelDef::DIVIDE;
  const bool scales = correction == ParallelDef::SCALE && outer;
  if (!divides && !scales) return;
  findings
      .InRecipe(
          "", "parallel.learning_rate_correction",
          divides ? absl::StrCat("DIVIDE lowers the rate ", parallel.workers(),
                                 " times, as for updates that are "
                                 "summed; here they are averaged")
                  : "SCALE raises the rate of workers whose outer step "
                    "has a rate of its own",
          "learning_rate_correction: AUTO")
      .edits = SetField("parallel.learning_rate_correction", "AUTO");
}

void ScaledRate(const Subject& subject, Findings& findings) {
  const RecipeDef& def = subject.def();
  const ParallelDef& parallel = def.parallel();
  if (!def.has_parallel() || parallel.workers() < 2) return;
  const auto correction = parallel.learning_rate_correction();
  const bool scaled =
      correction == ParallelDef::SCALE ||
      (correction == ParallelDef::AUTO && !HasOuterStep(parallel));
  if (!scaled) return;
  for (const StageFacts& stage : subject.stages) {
    for (const SolverFacts& solver : stage.solvers) {
      if (!solver.steps_along_gradient) continue;
      const double effective = solver.rate * parallel.workers() /
                               std::max(0.001, 1 - solver.momentum);
      if (effective <= 4) continue;
      findings.InRecipe(
          stage.name(),
          absl::StrCat(solver.path, ".", solver.rule, ".learning_rate"),
          absl::StrCat(parallel.workers(), " workers step at ",
                       Number(solver.rate * parallel.workers()),
                       ", the rate times their number"),
          absl::StrCat("learning_rate: ", Number(solver.rate * 4 / effective)));
    }
  }
}

void LongPeriod(const Subject& subject, Findings& findings) {
  const ParallelDef& parallel = subject.def().parallel();
  if (!subject.def().has_parallel() || parallel.average_every() <= 1) return;
  for (const StageFacts& stage : subject.stages) {
    if (stage.samples() == 0 || parallel.workers() < 2) continue;
    const int64_t steps = stage.samples() / stage.batch / parallel.workers();
    if (parallel.average_every() <= steps) continue;
    findings.InRecipe(
        "", "parallel.average_every",
        absl::StrCat("a worker has ", steps,
                     " steps an epoch: it averages once an "
                     "epoch, whatever average_every says"),
        absl::StrCat("average_every: ", std::max<int64_t>(1, steps / 10)));
    return;
  }
}

void CrowdedCores(const Subject& subject, Findings& findings) {
  const ParallelDef& parallel = subject.def().parallel();
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (!subject.def().has_parallel() || cores == 0 ||
      parallel.transport() != ParallelDef::THREADS ||
      parallel.workers() <= cores) {
    return;
  }
  findings.InRecipe("", "parallel.workers",
                    absl::StrCat(parallel.workers(), " workers on ", cores,
                                 " cores take turns"),
                    absl::StrCat("workers: ", cores));
}

}  // namespace

std::vector<Rule> ParallelRules() {
  constexpr char kTable[] = "docs/parallel.md, measured on MNIST";
  return {
      {30,
       {"averaging-rate", Severity::kWarning,
        "The old advice to lower the rate with workers holds where updates are "
        "summed. Where parameters or gradients are averaged N workers take N "
        "times fewer steps, and a lower rate makes it worse; outer steps have "
        "a rate of their own.",
        kTable},
       AveragingRate},
      {46,
       {"scaled-rate", Severity::kHint,
        "A rate times the number of workers may be more than one step bears.",
        kTable},
       ScaledRate},
      {68,
       {"long-period", Severity::kHint,
        "Averaging happens at each epoch's end anyway.", kTable},
       LongPeriod},
      {69,
       {"crowded-cores", Severity::kHint, "Threads beyond cores add no speed.",
        kTable},
       CrowdedCores},
  };
}

}  // namespace tamer
