#include <algorithm>

#include "core/advise/rule.h"
#include "core/graph/text.h"
#include "core/op/parameters.h"

// Pairs of last activation and loss. A matched pair's gradient at the logits is
// prediction minus target (Bishop 1995, section 6.9); all others die where the
// activation is flat, or answer another question.

namespace tamer {
namespace {

bool IsSoftmax(const std::string& activation) {
  return activation == "SOFTMAX" || activation == "LOG_SOFTMAX";
}
bool Saturates(const std::string& activation) {
  return activation == "SIGMOID" || activation == "TANH";
}
bool Rectifies(const std::string& activation) {
  return activation == "RELU" || activation == "SOFTPLUS";
}
bool TellsClasses(const std::string& loss) {
  return loss == "SoftmaxCrossEntropy" || loss == "SequenceCrossEntropy";
}
bool IsSquared(const std::string& loss) {
  return loss == "MeanSquaredError" || loss == "L1";
}

// The edits that make the prediction linear; none if its activation is a node
// of its own, which others read by name.
std::vector<Edit> Linear(const StageFacts& stage, const Findings& findings) {
  const PredictionFacts& prediction = stage.prediction;
  if (prediction.activation_node == nullptr || prediction.layer == nullptr) {
    return {};
  }
  if (prediction.activation_node == prediction.layer->node) {
    return findings.RemoveParameter(*prediction.layer->node, "activation");
  }
  // A softmax of its own is passed over instead.
  return SetField(stage.path + ".finetune.output",
                  absl::StrCat("\"", prediction.layer->node->name, "\""));
}

void DoubleSoftmax(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (!TellsClasses(seen.loss) || !IsSoftmax(seen.activation)) continue;
    findings
        .InNetwork(*seen.activation_node,
                   absl::StrCat("its softmax goes into ", seen.loss,
                                ", which has one of its own"),
                   "leave the last layer linear")
        .edits = Linear(stage, findings);
  }
}

void DoubleSigmoid(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (seen.loss != "SigmoidCrossEntropy" || seen.activation != "SIGMOID") {
      continue;
    }
    findings
        .InNetwork(*seen.activation_node,
                   "its sigmoid goes into SigmoidCrossEntropy, which has one "
                   "of its own",
                   "leave the last layer linear")
        .edits = Linear(stage, findings);
  }
}

void SaturatingOutput(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (!Saturates(seen.activation)) continue;
    if (!TellsClasses(seen.loss) && !IsSquared(seen.loss)) continue;
    if (stage.def->finetune().target() == FinetuneDef::INPUT) continue;
    findings
        .InNetwork(*seen.activation_node,
                   absl::StrCat(seen.loss, " on a ", seen.activation,
                                " output: the slope dies where it is wrong "
                                "and sure, and logits can't leave its range"),
                   "leave the last layer linear")
        .edits = Linear(stage, findings);
  }
}

void RectifiedOutput(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (!Rectifies(seen.activation)) continue;
    if (!TellsClasses(seen.loss) && seen.loss != "SigmoidCrossEntropy") {
      continue;
    }
    findings
        .InNetwork(*seen.activation_node,
                   absl::StrCat(seen.activation, " before ", seen.loss,
                                ": a class can't be made unlikely, and one "
                                "whose unit is 0 for all samples never learns"),
                   "leave the last layer linear")
        .edits = Linear(stage, findings);
  }
}

void SquaredClasses(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    const bool labels = stage.def->finetune().target() == FinetuneDef::LABELS;
    if (!IsSquared(seen.loss) || !labels || seen.width < 3) continue;
    // One number a sample is a quantity; as many as there are labels, classes.
    if (stage.train != nullptr &&
        static_cast<int64_t>(stage.train->labels.size()) > seen.width) {
      continue;
    }
    Advice& advice = findings.InRecipe(
        stage.name(), stage.path + ".finetune.loss",
        absl::StrCat(seen.loss, " on ", seen.width,
                     " classes: their logits are pulled to 0 and 1 alike, "
                     "however sure the network may be"),
        "loss { [op/SoftmaxCrossEntropy] {} } on a linear last layer");
    advice.edits = SetField(stage.path + ".finetune.loss",
                            "{ [op/SoftmaxCrossEntropy] {} }");
    if (seen.activation_node == nullptr) continue;
    for (Edit& edit : Linear(stage, findings)) advice.edits.push_back(edit);
  }
}

void OutputsAreLabels(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (stage.train == nullptr || !TellsClasses(seen.loss)) continue;
    if (stage.def->finetune().target() != FinetuneDef::LABELS) continue;
    int64_t classes = static_cast<int64_t>(stage.train->labels.size());
    if (stage.test != nullptr) {
      classes = std::max<int64_t>(classes, stage.test->labels.size());
    }
    if (classes == 0 || classes == seen.width) continue;
    const std::string says = absl::StrCat("the network tells ", seen.width,
                                          " classes, the data have ", classes);
    const std::string mend = absl::StrCat("units: ", classes);
    if (seen.layer == nullptr) {
      findings.InRecipe(stage.name(), stage.path + ".finetune", says, mend);
      continue;
    }
    Advice& advice = findings.InNetwork(*seen.layer->node, says, mend);
    if (seen.layer->dense) {
      advice.edits = findings.SetParameter(*seen.layer->node, "units",
                                           std::to_string(classes));
    }
  }
}

void DroppedOutput(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (!seen.dropped || seen.layer == nullptr) continue;
    findings.InNetwork(*seen.layer->node,
                       "dropout between the last layer and the loss: labels "
                       "are asked of logits that were set to 0",
                       "put the dropout before this layer");
  }
}

void SmoothedLabels(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    if (!stage.finetune()) continue;
    auto params =
        UnpackOp(stage.def->finetune().loss(), subject.network.registry());
    if (!params.ok()) continue;
    const double share = NumberParameter(**params, "label_smoothing", 0);
    if (share < 0.3) continue;
    findings
        .InRecipe(stage.name(), stage.path + ".finetune.loss",
                  absl::StrCat("label_smoothing takes ", Percent(share),
                               " of the target away from the true class"),
                  "label_smoothing: 0.1")
        .edits = SetField(stage.path + ".finetune.loss.label_smoothing", "0.1");
  }
}

}  // namespace

std::vector<Rule> LossRules() {
  constexpr char kPairs[] =
      "Bishop 1995, Neural networks for pattern "
      "recognition, 6.9; Glorot and Bengio 2010, 4.2";
  return {
      {20,
       {"double-softmax", Severity::kWarning,
        "A softmax of a softmax lies between 1/n and e/n: the loss cannot fall "
        "near 0, and its slopes are tiny. The loss has a softmax of its own, "
        "fused with the logarithm.",
        kPairs},
       DoubleSoftmax},
      {20,
       {"double-sigmoid", Severity::kWarning,
        "A sigmoid of a sigmoid lies between 0.5 and 0.73. "
        "SigmoidCrossEntropy takes logits.",
        kPairs},
       DoubleSigmoid},
      {21,
       {"saturating-output", Severity::kWarning,
        "Softmax goes with negative log-likelihood, identity with squared "
        "error, sigmoid with its cross-entropy: then the slope at the last "
        "layer is prediction minus target. With another pair it is multiplied "
        "by the activation's own slope, which is nearly 0 where the network is "
        "most wrong.",
        kPairs},
       SaturatingOutput},
      {21,
       {"rectified-output", Severity::kWarning,
        "Logits are numbers of any sign; a rectifier before the loss takes "
        "half of them away.",
        kPairs},
       RectifiedOutput},
      {20,
       {"squared-classes", Severity::kWarning,
        "Squared error is the likelihood of a quantity with Gaussian noise; "
        "for classes negative log-likelihood learns faster and ends better.",
        kPairs},
       SquaredClasses},
      {8,
       {"outputs-are-labels", Severity::kWarning,
        "The last layer has one unit a class. With fewer, some labels cannot "
        "be told; with more, units stand for nothing.",
        "the recipe's data"},
       OutputsAreLabels},
      {24,
       {"dropped-output", Severity::kWarning,
        "Dropout belongs between layers: what the last one says must reach "
        "the loss.",
        "Srivastava et al. 2014, 4"},
       DroppedOutput},
      {40,
       {"smoothed-labels", Severity::kWarning,
        "Label smoothing of 0.1 calms an overconfident network; far more of "
        "it teaches that all classes are alike.",
        "Szegedy et al. 2016, 7"},
       SmoothedLabels},
  };
}

}  // namespace tamer
