#include <algorithm>
#include <cmath>

#include "core/advise/rule.h"

// Learning rates, momentum and decay.

namespace tamer {
namespace {

constexpr char kGuide[] = "Hinton 2010, A practical guide to training RBMs";

// What a gradient finally moves a parameter by: momentum adds up the steps.
double Effective(const SolverFacts& solver) {
  return solver.rate / std::max(1e-3, 1 - solver.momentum);
}

bool IsAdaptive(const SolverFacts& solver) {
  return solver.rule == "adam" || solver.rule == "adamw" ||
         solver.rule == "rmsprop";
}

std::string RatePath(const SolverFacts& solver) {
  return absl::StrCat(solver.path, ".", solver.rule, ".learning_rate");
}

// A rate that such networks learn at; larger minibatches bear higher ones.
double UsualRate(const StageFacts& stage, const SolverFacts& solver) {
  if (!solver.steps_along_gradient) return 0.001;
  const double effective = std::min(1.0, std::max(0.2, stage.batch * 0.01));
  return effective * std::max(0.01, 1 - solver.momentum);
}

void HighRate(const Subject& subject, Findings& findings) {
  ForEachSolver(subject, [&](const StageFacts& stage,
                             const SolverFacts& solver) {
    double most = 0;
    if (solver.steps_along_gradient) {
      // Averages over more samples bear more; and nothing bears 20. A heavy
      // momentum has a rule of its own.
      const double momentum = solver.momentum < 0.99 ? solver.momentum : 0.9;
      most = std::min(20.0, std::max(2.0, 0.1 * stage.batch)) * (1 - momentum);
    } else if (IsAdaptive(solver)) {
      most = 0.02;
    } else {
      return;
    }
    if (solver.rate <= most * 1.0001) return;
    const double mend = UsualRate(stage, solver);
    findings
        .InRecipe(stage.name(), RatePath(solver),
                  absl::StrCat("learning rate ", Number(solver.rate),
                               solver.momentum > 0
                                   ? absl::StrCat(" with momentum ",
                                                  Number(solver.momentum))
                                   : "",
                               " at minibatch ", stage.batch, "; above ",
                               Number(most), " runs diverge as a rule"),
                  absl::StrCat("learning_rate: ", Number(mend),
                               ", or ask tamer probe"))
        .edits = SetField(RatePath(solver), Number(mend));
  });
}

void LowRate(const Subject& subject, Findings& findings) {
  ForEachSolver(subject, [&](const StageFacts& stage,
                             const SolverFacts& solver) {
    double least = 0;
    if (solver.steps_along_gradient) {
      least = 2e-3 * (1 - solver.momentum);
    } else if (IsAdaptive(solver)) {
      least = 2e-6;
    }
    if (solver.rate >= least || stage.pretrained) return;
    const double mend = UsualRate(stage, solver);
    findings
        .InRecipe(stage.name(), RatePath(solver),
                  absl::StrCat("learning rate ", Number(solver.rate), ": in ",
                               stage.epochs, " epochs little will be learned"),
                  absl::StrCat("learning_rate: ", Number(mend),
                               ", or ask tamer probe"))
        .edits = SetField(RatePath(solver), Number(mend));
  });
}

bool IsGaussian(const PretrainLayer& layer) {
  return layer.rbm().visible() == GAUSSIAN;
}

void GaussianRate(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    for (const PretrainLayer& layer : stage.def->pretrain().layer()) {
      if (!layer.has_rbm() || !IsGaussian(layer)) continue;
      for (const SolverFacts& solver : stage.solvers) {
        const bool its = solver.layer == layer.node() ||
                         (solver.layer.empty() && !layer.has_solver());
        if (!its || !solver.steps_along_gradient || solver.rate <= 0.01) {
          continue;
        }
        findings
            .InRecipe(stage.name(), RatePath(solver),
                      absl::StrCat("\"", layer.node(),
                                   "\" has Gaussian visible units and rate ",
                                   Number(solver.rate)),
                      "learning_rate: 0.001")
            .edits = SetField(RatePath(solver), "0.001");
      }
    }
  }
}

void MomentumWithoutNesterov(const Subject& subject, Findings& findings) {
  ForEachSolver(
      subject, [&](const StageFacts& stage, const SolverFacts& solver) {
        if (!stage.finetune() || solver.rule != "sgd" || solver.momentum <= 0) {
          return;
        }
        findings
            .InRecipe(stage.name(), solver.path + ".sgd",
                      absl::StrCat("momentum ", Number(solver.momentum),
                                   " without Nesterov's look ahead"),
                      "nesterov instead of sgd")
            .edits = {
            {Edit::kRecipe, Edit::kRename, solver.path + ".sgd", "nesterov"}};
      });
}

void NoMomentum(const Subject& subject, Findings& findings) {
  ForEachSolver(
      subject, [&](const StageFacts& stage, const SolverFacts& solver) {
        if (!stage.finetune() || !solver.steps_along_gradient ||
            solver.momentum > 0) {
          return;
        }
        findings.InRecipe(
            stage.name(), absl::StrCat(solver.path, ".", solver.rule),
            "no momentum",
            absl::StrCat("nesterov { learning_rate: ", Number(solver.rate / 10),
                         " momentum: 0.9 }"));
      });
}

void HeavyMomentum(const Subject& subject, Findings& findings) {
  ForEachSolver(
      subject, [&](const StageFacts& stage, const SolverFacts& solver) {
        if (!solver.steps_along_gradient || solver.momentum < 0.99) return;
        const std::string path =
            absl::StrCat(solver.path, ".", solver.rule, ".momentum");
        Advice& advice = findings.InRecipe(
            stage.name(), path,
            absl::StrCat("momentum ", Number(solver.momentum),
                         " multiplies the rate by ",
                         Number(1 / std::max(1e-3, 1 - solver.momentum)),
                         " and looks back as many steps"),
            "momentum: 0.9");
        advice.edits = SetField(path, "0.9");
        // With the rate that was meant for the heavy one, 0.9 would stand
        // still.
        if (Effective(solver) * 0.1 <= 1 && solver.rate < 2e-3) {
          const double rate = UsualRate(
              stage, {solver.def, "", solver.rule, solver.rate, 0.9, true, ""});
          for (Edit& edit : SetField(RatePath(solver), Number(rate))) {
            advice.edits.push_back(edit);
          }
        }
      });
}

void StrongDecay(const Subject& subject, Findings& findings) {
  ForEachSolver(subject, [&](const StageFacts& stage,
                             const SolverFacts& solver) {
    const double decay = solver.def->weight_decay();
    const bool decoupled = solver.rule == "adamw" || solver.rule == "custom";
    const double most = decoupled ? 0.5 : 0.01;
    if (decay <= most) return;
    const char* mend = decoupled ? "0.01" : "0.0002";
    findings
        .InRecipe(stage.name(), solver.path + ".weight_decay",
                  absl::StrCat("weight decay ", Number(decay),
                               " pulls weights to 0 faster than data can move "
                               "them"),
                  absl::StrCat("weight_decay: ", mend))
        .edits = SetField(solver.path + ".weight_decay", mend);
  });
}

void AdamWithL2(const Subject& subject, Findings& findings) {
  ForEachSolver(
      subject, [&](const StageFacts& stage, const SolverFacts& solver) {
        if (solver.rule != "adam" || solver.def->weight_decay() == 0) return;
        findings
            .InRecipe(stage.name(), solver.path + ".adam",
                      "Adam divides weight decay by the gradients' size, too",
                      "adamw instead of adam, with a decay of about 0.01")
            .edits = {
            {Edit::kRecipe, Edit::kRename, solver.path + ".adam", "adamw"}};
      });
}

void TinyMaxNorm(const Subject& subject, Findings& findings) {
  ForEachSolver(subject,
                [&](const StageFacts& stage, const SolverFacts& solver) {
                  const double limit = solver.def->max_norm();
                  if (limit <= 0 || limit >= 0.5) return;
                  findings
                      .InRecipe(stage.name(), solver.path + ".max_norm",
                                absl::StrCat("max_norm ", Number(limit),
                                             " keeps all units near 0"),
                                "max_norm: 3")
                      .edits = SetField(solver.path + ".max_norm", "3");
                });
}

void SteepDivisor(const Subject& subject, Findings& findings) {
  ForEachSolver(
      subject, [&](const StageFacts& stage, const SolverFacts& solver) {
        const double divisor = solver.def->rate_divisor_by_depth();
        if (divisor <= 5) return;
        findings
            .InRecipe(stage.name(), solver.path + ".rate_divisor_by_depth",
                      absl::StrCat("three layers down the rate is ",
                                   Number(divisor * divisor * divisor),
                                   " times lower"),
                      "rate_divisor_by_depth: 2.6")
            .edits = SetField(solver.path + ".rate_divisor_by_depth", "2.6");
      });
}

}  // namespace

std::vector<Rule> SolverRules() {
  return {
      {10,
       {"high-rate", Severity::kWarning,
        "Too high a rate steps over the valley: the loss oscillates, or all "
        "becomes NaN. Momentum m multiplies the rate by 1 / (1 - m); a "
        "minibatch of more samples bears a higher one.",
        "Bengio 2012, Practical recommendations, 3.1.1"},
       HighRate},
      {12,
       {"low-rate", Severity::kWarning,
        "At too low a rate the run ends long before it arrives.",
        "Bengio 2012, Practical recommendations, 3.1.1"},
       LowRate},
      {13,
       {"gaussian-rate", Severity::kWarning,
        "Real-valued visible units have no upper limit, so a reconstruction "
        "can run away: the rate must be one or two powers of ten lower than "
        "for Bernoulli units.",
        "Hinton 2010, 13.2"},
       GaussianRate},
      {64,
       {"momentum-without-nesterov", Severity::kHint,
        "Nesterov's momentum takes the slope where the velocity leads to; it "
        "bears higher momentum than the classical one, at no cost.",
        "Sutskever et al. 2013, 2"},
       MomentumWithoutNesterov},
      {65,
       {"no-momentum", Severity::kHint,
        "Momentum of 0.9 and a tenth of the rate reaches the same in fewer "
        "epochs on most networks.",
        "Sutskever et al. 2013"},
       NoMomentum},
      {11,
       {"heavy-momentum", Severity::kWarning,
        "Momentum of 0.99 and more averages over hundreds of steps, and what "
        "it has gathered cannot turn in time.",
        kGuide},
       HeavyMomentum},
      {17,
       {"strong-decay", Severity::kWarning,
        "Weight decay of 0.0001 to 0.01 keeps weights small; much more keeps "
        "them at 0.",
        "Hinton 2010, 10"},
       StrongDecay},
      {66,
       {"adam-with-l2", Severity::kHint,
        "With Adam, decay as part of the gradient hardly shrinks what has "
        "large gradients; AdamW takes it apart.",
        "Loshchilov and Hutter 2019"},
       AdamWithL2},
      {19,
       {"tiny-max-norm", Severity::kWarning,
        "A limit of 3 to 4 on a unit's incoming weights is usual; far below "
        "1 no unit can say anything.",
        "Srivastava et al. 2014, 5.1"},
       TinyMaxNorm},
      {44,
       {"steep-divisor", Severity::kWarning,
        "Rates that fall by 2.6 a layer keep what lower layers know; steeper "
        "ones freeze them.",
        "Howard and Ruder 2018, 3.2"},
       SteepDivisor},
  };
}

}  // namespace tamer
