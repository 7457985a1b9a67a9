#include <algorithm>

#include "core/advise/rule.h"

// Minibatches, numbers of updates, and limits on gradients.

namespace tamer {
namespace {

std::string BatchPath(const StageFacts& stage) {
  return stage.def->has_batch_size() ? stage.path + ".batch_size"
                                     : "batch_size";
}

// Stages that share the recipe's minibatch share the advice.
template <typename Check>
void ForEachBatch(const Subject& subject, const Check& check) {
  bool told = false;
  for (const StageFacts& stage : subject.stages) {
    const bool own = stage.def->has_batch_size();
    if (!own && told) continue;
    if (check(stage) && !own) told = true;
  }
}

// The minibatch, of 10 to 100, for which the stage's rate is a usual one.
int BatchForRate(const StageFacts& stage) {
  if (stage.solvers.empty() || !stage.solvers[0].steps_along_gradient) {
    return 20;
  }
  const SolverFacts& solver = stage.solvers[0];
  const double effective = solver.rate / std::max(0.01, 1 - solver.momentum);
  return static_cast<int>(std::clamp(100 * effective, 10.0, 100.0));
}

void LargeBatch(const Subject& subject, Findings& findings) {
  ForEachBatch(subject, [&](const StageFacts& stage) {
    if (stage.batch <= 100) return false;
    const int64_t samples = stage.samples();
    const bool few = samples > 0 && stage.batch * 100 > samples;
    Advice& advice = findings.InRecipe(
        stage.name(), BatchPath(stage),
        absl::StrCat(
            "a minibatch of ", stage.batch,
            samples > 0
                ? absl::StrCat(": ", (samples + stage.batch - 1) / stage.batch,
                               " updates an epoch")
                : ""),
        "batch_size: 10 to 100");
    if (!few && stage.batch <= 1000) return true;
    advice.severity = Severity::kWarning;
    advice.edits =
        SetField(BatchPath(stage), std::to_string(BatchForRate(stage)));
    return true;
  });
}

void SmallBatch(const Subject& subject, Findings& findings) {
  ForEachBatch(subject, [&](const StageFacts& stage) {
    if (stage.batch >= 10) return false;
    findings.InRecipe(stage.name(), BatchPath(stage),
                      absl::StrCat("a minibatch of ", stage.batch,
                                   ": noisy slopes, and products too small "
                                   "to be fast"),
                      "batch_size: 10");
    return true;
  });
}

void FewUpdates(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (stage.samples() == 0 || !stage.finetune() || !stage.fresh) continue;
    const int64_t steps = (stage.samples() + stage.batch - 1) / stage.batch;
    const int64_t updates = steps * stage.epochs;
    if (updates >= 300) continue;
    // Where the minibatch is to blame, its mend is enough.
    if (stage.batch > 100 && stage.samples() / 100 * stage.epochs >= 300) {
      continue;
    }
    const int64_t epochs = (1000 + steps - 1) / steps;
    findings
        .InRecipe(stage.name(), stage.path + ".finetune.epochs",
                  absl::StrCat(updates, " updates in all"),
                  absl::StrCat("epochs: ", epochs, ", or smaller minibatches"))
        .edits =
        SetField(stage.path + ".finetune.epochs", std::to_string(epochs));
  }
}

void TinyClip(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (!stage.finetune()) continue;
    const FinetuneDef& finetune = stage.def->finetune();
    const bool norm = finetune.clip_norm() > 0 && finetune.clip_norm() < 0.02;
    const bool value =
        finetune.clip_value() > 0 && finetune.clip_value() < 1e-4;
    // An adaptive rule divides by what clipping did.
    const bool divides =
        !stage.solvers.empty() && !stage.solvers[0].steps_along_gradient;
    if ((!norm && !value) || divides) continue;
    const char* field = norm ? "clip_norm" : "clip_value";
    const std::string path = absl::StrCat(stage.path, ".finetune.", field);
    findings
        .InRecipe(stage.name(), path,
                  absl::StrCat(field, " ",
                               Number(norm ? finetune.clip_norm()
                                           : finetune.clip_value()),
                               " cuts every gradient, not the few large ones"),
                  absl::StrCat(field, ": 1"))
        .edits = SetField(path, "1");
  }
}

}  // namespace

std::vector<Rule> StepRules() {
  return {
      {28,
       {"large-batch", Severity::kHint,
        "Minibatches of 10 to 100 update often and find flatter, better "
        "minima; thousands of samples an update waste epochs.",
        "Bengio 2012, 3.1.2; Masters and Luschi 2018"},
       LargeBatch},
      {67,
       {"small-batch", Severity::kHint,
        "Below 10 samples an update the slope is mostly noise and the machine "
        "is used badly.",
        "Hinton 2010, 4.1"},
       SmallBatch},
      {29,
       {"few-updates", Severity::kWarning,
        "A network from initial values needs thousands of updates.",
        "Bengio 2012, Practical recommendations, 3.1"},
       FewUpdates},
      {17,
       {"tiny-clip", Severity::kWarning,
        "Clipping is for rare, exploding gradients; a limit below all of them "
        "makes the rate that much lower.",
        "Pascanu et al. 2013, 3.2"},
       TinyClip},
  };
}

}  // namespace tamer
