#include <algorithm>
#include <cmath>

#include "core/advise/rule.h"

// What the data themselves say.

namespace tamer {
namespace {

// Calls `check` once for each part of the data that stages train on.
template <typename Check>
void ForEachData(const Subject& subject, const Check& check) {
  std::vector<const DataFacts*> seen;
  for (const StageFacts& stage : subject.stages) {
    if (stage.train == nullptr) continue;
    if (std::find(seen.begin(), seen.end(), stage.train.get()) != seen.end()) {
      continue;
    }
    seen.push_back(stage.train.get());
    check(stage);
  }
}

bool UsesLabels(const StageFacts& stage) {
  return stage.finetune() &&
         stage.def->finetune().target() == FinetuneDef::LABELS;
}

void UnreadableData(const Subject& subject, Findings& findings) {
  std::string told;
  for (const StageFacts& stage : subject.stages) {
    if (stage.data_error.empty() || stage.data_error == told) continue;
    told = stage.data_error;
    findings.InRecipe(stage.name(), stage.data_path, told,
                      "what the message says; the rest is said without data");
  }
}

void UnscaledInputs(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
    const DataFacts& data = *stage.train;
    if (data.tokens) return;
    const double size = std::max(std::abs(data.mean), data.deviation);
    if (size <= 5) return;
    const char* scale = data.bytes ? "UNIT" : "STANDARDIZE";
    findings
        .InRecipe(stage.name(), stage.data_path + ".scale",
                  absl::StrCat("inputs reach from ", Number(data.low), " to ",
                               Number(data.high), ", with a deviation of ",
                               Number(data.deviation)),
                  absl::StrCat("scale: ", scale))
        .edits = SetField(stage.data_path + ".scale", scale);
  });
}

void FaintInputs(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
    const DataFacts& data = *stage.train;
    if (data.tokens || data.deviation >= 0.02 || data.constant == data.features)
      return;
    findings
        .InRecipe(
            stage.name(), stage.data_path + ".scale",
            absl::StrCat("inputs vary by ", Number(data.deviation), " only"),
            "scale: STANDARDIZE")
        .edits = SetField(stage.data_path + ".scale", "STANDARDIZE");
  });
}

void ConstantInputs(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
    const DataFacts& data = *stage.train;
    if (data.tokens || data.constant == 0 || data.features == 0) return;
    const bool all = data.constant == data.features;
    if (!all && data.constant * 4 < data.features) return;
    Advice& advice = findings.InRecipe(
        stage.name(), stage.data_path + ".train",
        absl::StrCat(data.constant, " of ", data.features,
                     " inputs never vary"),
        all ? "look at the files: there is nothing to learn from"
            : "leave them out, or never mind");
    if (all) advice.severity = Severity::kWarning;
  });
}

void LabelImbalance(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
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
  ForEachData(subject, [&](const StageFacts& stage) {
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
  ForEachData(subject, [&](const StageFacts& stage) {
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

void UnlikeTest(const Subject& subject, Findings& findings) {
  ForEachData(subject, [&](const StageFacts& stage) {
    if (stage.test == nullptr || stage.train->tokens) return;
    const double apart = std::abs(stage.test->mean - stage.train->mean);
    const double spread = std::max(stage.train->deviation, 1e-6);
    const double ratio = stage.test->deviation / spread;
    if (apart <= spread && ratio < 3 && ratio > 1.0 / 3) return;
    findings.InRecipe(
        stage.name(), stage.data_path + ".test",
        absl::StrCat("mean and deviation are ", Number(stage.test->mean),
                     " and ", Number(stage.test->deviation),
                     ", of the training data ", Number(stage.train->mean),
                     " and ", Number(stage.train->deviation)),
        "prepare both in the same way");
  });
}

// Calls `check` for each pretrained layer that sees the data themselves.
template <typename Check>
void ForEachVisible(const Subject& subject, const Check& check) {
  for (const StageFacts& stage : subject.stages) {
    if (stage.train == nullptr || stage.train->tokens) continue;
    for (const PretrainLayer& layer : stage.def->pretrain().layer()) {
      const Layer* found = subject.facts.FindLayer(layer.node());
      if (found == nullptr || subject.facts.layers.empty() ||
          found != &subject.facts.layers[0]) {
        continue;
      }
      const std::string path = absl::StrCat(
          stage.path, ".pretrain.layer.", layer.node(),
          layer.has_rbm() ? ".rbm.visible" : ".autoencoder.visible");
      if (layer.has_rbm()) check(stage, layer, layer.rbm().visible(), path);
      if (layer.has_autoencoder()) {
        check(stage, layer, layer.autoencoder().visible(), path);
      }
    }
  }
}

void BernoulliRange(const Subject& subject, Findings& findings) {
  ForEachVisible(subject, [&](const StageFacts& stage,
                              const PretrainLayer& layer, VisibleUnits visible,
                              const std::string& path) {
    if (visible != BERNOULLI || stage.train->outside_unit <= 0.001) return;
    const bool bytes = stage.train->bytes;
    Advice& advice = findings.InRecipe(
        stage.name(), path,
        absl::StrCat("\"", layer.node(),
                     "\" takes its inputs for "
                     "probabilities; they reach from ",
                     Number(stage.train->low), " to ",
                     Number(stage.train->high)),
        bytes ? "scale: UNIT" : "visible: GAUSSIAN, with scale: STANDARDIZE");
    if (bytes) {
      advice.edits = SetField(stage.data_path + ".scale", "UNIT");
    } else {
      advice.edits = SetField(path, "GAUSSIAN");
      for (Edit& edit : SetField(stage.data_path + ".scale", "STANDARDIZE")) {
        advice.edits.push_back(edit);
      }
    }
  });
}

void GaussianScale(const Subject& subject, Findings& findings) {
  ForEachVisible(subject, [&](const StageFacts& stage,
                              const PretrainLayer& layer, VisibleUnits visible,
                              const std::string& path) {
    if (visible != GAUSSIAN) return;
    const double deviation = stage.train->deviation;
    if (deviation > 0.5 && deviation < 2 && std::abs(stage.train->mean) < 0.5) {
      return;
    }
    findings
        .InRecipe(stage.name(), path,
                  absl::StrCat("\"", layer.node(),
                               "\" takes its inputs for Gaussian of "
                               "deviation 1; theirs is ",
                               Number(deviation), ", their mean ",
                               Number(stage.train->mean)),
                  "scale: STANDARDIZE")
        .edits = SetField(stage.data_path + ".scale", "STANDARDIZE");
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

std::vector<Rule> DataRules() {
  constexpr char kScale[] = "LeCun et al. 1998, Efficient backprop, 4.3";
  return {
      {0,
       {"unreadable-data", Severity::kWarning,
        "Training will not begin: a file is missing or damaged, or holds a "
        "number that is NaN, one of which makes all parameters NaN.",
        "the recipe's data"},
       UnreadableData},
      {4,
       {"unscaled-inputs", Severity::kWarning,
        "Inputs of large size saturate the first layer and make its slopes as "
        "much larger than those of the others.",
        kScale},
       UnscaledInputs},
      {5,
       {"faint-inputs", Severity::kWarning,
        "Inputs that hardly vary give the first layer hardly a slope.", kScale},
       FaintInputs},
      {49,
       {"constant-inputs", Severity::kHint,
        "An input that never varies tells nothing.", kScale},
       ConstantInputs},
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
      {2,
       {"unlike-test", Severity::kWarning,
        "Test data on another scale than the training data are another task.",
        kScale},
       UnlikeTest},
      {5,
       {"bernoulli-range", Severity::kWarning,
        "Bernoulli visible units take values in [0, 1] as probabilities.",
        "Hinton 2010, 13"},
       BernoulliRange},
      {5,
       {"gaussian-scale", Severity::kWarning,
        "Gaussian visible units have unit variance and zero mean.",
        "Hinton 2010, 13.2"},
       GaussianScale},
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
