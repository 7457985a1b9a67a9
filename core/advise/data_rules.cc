#include <algorithm>
#include <cmath>

#include "core/advise/rule.h"

// What the values of the data say.

namespace tamer {
namespace {

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
  };
}

}  // namespace tamer
