#include <algorithm>
#include <cmath>

#include "core/advise/rule.h"

// Labels, what training and test data share, and how much there is of both.

namespace tamer {
namespace {

bool UsesLabels(const StageFacts& stage) {
  return stage.finetune() &&
         stage.def->finetune().target() == FinetuneDef::LABELS;
}

void LabelImbalance(const Subject& subject, Findings& findings) {
  ForEachClasses(subject, [&](const StageFacts& stage) {
    if (stage.train->labels.size() < 2) return;
    const auto range = std::minmax_element(stage.train->labels.begin(),
                                           stage.train->labels.end());
    const int64_t least = std::max<int64_t>(1, *range.first);
    if (*range.second < 10 * least) return;
    findings.InRecipe(
        stage.name(), stage.data_path + ".train",
        absl::StrCat("label ", range.second - stage.train->labels.begin(),
                     " has ", *range.second, " samples, label ",
                     range.first - stage.train->labels.begin(), " ",
                     *range.first),
        "class_weight in the loss, or more samples of the rare one");
  });
}

void MissingLabels(const Subject& subject, Findings& findings) {
  ForEachClasses(subject, [&](const StageFacts& stage) {
    if (stage.test == nullptr || stage.test->labels.empty()) return;
    const auto& train = stage.train->labels;
    int missing = 0;
    size_t first = 0;
    for (size_t label = 0; label < stage.test->labels.size(); ++label) {
      const bool learned = label < train.size() && train[label] > 0;
      if (stage.test->labels[label] == 0 || learned) continue;
      if (missing++ == 0) first = label;
    }
    if (missing == 0) return;
    // Only the first so many of a sorted file are the usual reason.
    const bool limited = stage.data_def->train().limit() > 0;
    Advice& advice = findings.InRecipe(
        stage.name(), stage.data_path + (limited ? ".train.limit" : ".train"),
        absl::StrCat(missing, " of the test data's ", stage.test->labels.size(),
                     " labels have no training sample; the first is ", first),
        limited ? "a higher limit, or samples in random order"
                : "training samples of every label");
    if (limited) {
      advice.edits = {
          {Edit::kRecipe, Edit::kRemove, stage.data_path + ".train.limit", ""}};
    }
  });
}

void SharedSamples(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
    if (stage.pair == nullptr || stage.pair->duplicates == 0) return;
    const PairFacts& pair = *stage.pair;
    const double share =
        static_cast<double>(pair.duplicates) / pair.test_samples;
    Advice& advice = findings.InRecipe(
        stage.name(), stage.data_path + ".test",
        absl::StrCat(pair.duplicates, " of ", pair.test_samples,
                     " test samples are training samples too (test ",
                     pair.first_test, " is training ", pair.first_train, ")"),
        "take them out of one of the two");
    if (share < 0.01) advice.severity = Severity::kHint;
  });
}

void NearSamples(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
    if (stage.pair == nullptr || stage.pair->near == 0) return;
    const double share =
        static_cast<double>(stage.pair->near) / stage.pair->test_samples;
    if (share < 0.005) return;
    findings.InRecipe(stage.name(), stage.data_path + ".test",
                      absl::StrCat(stage.pair->near,
                                   " test samples are "
                                   "nearly training samples"),
                      "split by origin, so that copies stay on one side");
  });
}

// Below what chance alone gives, with two deviations to spare.
bool ByChance(double agreement, const PairFacts& pair) {
  const double deviation = std::sqrt(pair.chance * (1 - pair.chance) /
                                     std::max<int64_t>(1, pair.probes));
  return agreement >= 0 && agreement < pair.chance + 2.5 * deviation;
}

void UnrelatedLabels(const Subject& subject, Findings& findings) {
  ForEachClasses(subject, [&](const StageFacts& stage) {
    if (stage.pair == nullptr || stage.pair->train_agreement < 0) return;
    const PairFacts& pair = *stage.pair;
    if (pair.probes < 100 || pair.chance > 0.6) return;
    if (ByChance(pair.train_agreement, pair)) {
      findings.InRecipe(
          stage.name(), stage.data_path + ".train",
          absl::StrCat("samples that look alike have like labels in ",
                       Percent(pair.train_agreement), ", by chance ",
                       Percent(pair.chance)),
          "check that the labels belong to these samples, in this order");
    } else if (ByChance(pair.test_agreement, pair) ||
               pair.test_agreement < pair.train_agreement / 2) {
      findings.InRecipe(
          stage.name(), stage.data_path + ".test",
          absl::StrCat("test samples have the label of the nearest training "
                       "sample in ",
                       Percent(pair.test_agreement), ", training samples in ",
                       Percent(pair.train_agreement)),
          "check that the test data are of the same kind, with their own "
          "labels");
    }
  });
}

void LittleData(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (stage.samples() == 0 || !UsesLabels(stage) || !stage.fresh) continue;
    const FinetuneDef& finetune = stage.def->finetune();
    bool decays = false;
    for (const SolverFacts& solver : stage.solvers) {
      decays = decays || solver.def->weight_decay() > 0 ||
               solver.def->max_norm() > 0;
    }
    if (decays || subject.facts.noise || finetune.has_early_stopping() ||
        stage.data_def->has_augment()) {
      continue;
    }
    const double each =
        static_cast<double>(subject.facts.parameters) / stage.samples();
    if (each < 100) continue;
    findings.InRecipe(
        stage.name(), stage.path,
        absl::StrCat(subject.facts.parameters, " parameters for ",
                     stage.samples(), " samples, and nothing holds them back"),
        "weight_decay, dropout, early_stopping, or a pretrained product");
  }
}

void DeepForData(const Subject& subject, Findings& findings) {
  const size_t depth = subject.facts.layers.size();
  if (depth < 5) return;
  for (const StageFacts& stage : subject.stages) {
    if (stage.samples() == 0 || !UsesLabels(stage) || !stage.fresh) continue;
    if (stage.samples() >= static_cast<int64_t>(depth) * 400) continue;
    findings.InRecipe(stage.name(), stage.path,
                      absl::StrCat(depth, " layers, ", stage.samples(),
                                   " labelled samples, nothing pretrained"),
                      "fewer layers, or pretrain on samples without labels");
    return;
  }
}

}  // namespace

std::vector<Rule> LabelRules() {
  return {
      {50,
       {"label-imbalance", Severity::kWarning,
        "A label ten times as frequent as another is what an unsure network "
        "says; the rare one is hardly learned, and accuracy hides it.",
        "Buda et al. 2018"},
       LabelImbalance},
      {3,
       {"missing-labels", Severity::kWarning,
        "A label without training samples is never told.", "the recipe's data"},
       MissingLabels},
      {32,
       {"shared-samples", Severity::kWarning,
        "What stands in both training and test data is remembered, not "
        "told: the test is too good.",
        "Barz and Denzler 2020"},
       SharedSamples},
      {51,
       {"near-samples", Severity::kHint,
        "Near copies on both sides flatter the test a little less.",
        "Barz and Denzler 2020"},
       NearSamples},
      {1,
       {"unrelated-labels", Severity::kWarning,
        "If samples that look alike have unlike labels, labels and samples are "
        "of different files or orders.",
        "nearest neighbours of 300 samples among 2,000"},
       UnrelatedLabels},
      {75,
       {"little-data", Severity::kHint,
        "A hundred parameters for each sample remember rather than learn, "
        "unless something holds them back.",
        "Goodfellow et al. 2016, 7"},
       LittleData},
      {76,
       {"deep-for-data", Severity::kHint,
        "Each layer wants data: many layers and few labels overfit unless "
        "they were pretrained.",
        "Erhan et al. 2010"},
       DeepForData},
  };
}

}  // namespace tamer
