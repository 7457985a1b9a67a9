#include <algorithm>

#include "core/advise/rule.h"

// How wide layers of fully connected networks are. Model: 784, 500, 250,
// labels.

namespace tamer {
namespace {

constexpr char kTaper[] =
    "Hinton and Salakhutdinov 2006; Bengio 2012, Practical recommendations, "
    "3.2";

// Hidden layers of a plain chain of fully connected ones that starts at the
// input: blocks of transformers widen and narrow as they should.
std::vector<const Layer*> Chain(const Subject& subject) {
  std::vector<const Layer*> chain;
  if (subject.facts.layers.empty() || subject.facts.tokens) return chain;
  const Layer* layer = &subject.facts.layers[0];
  // Read token by token, a sample is not one vector.
  if (layer->inputs != subject.facts.inputs || layer->fan_in != layer->inputs) {
    return chain;
  }
  for (; layer != nullptr && layer->dense; layer = layer->next) {
    if (layer->node->name.find('/') != std::string::npos) return {};
    if (!layer->output) chain.push_back(layer);
  }
  return chain;
}

// Whether some stage learns the layer as a plain autoencoder, for which a code
// as wide as its input may be a copy.
bool MayCopy(const Subject& subject, const Layer& layer) {
  for (const StageFacts& stage : subject.stages) {
    for (const PretrainLayer& learned : stage.def->pretrain().layer()) {
      if (learned.node() != layer.node->name || !learned.has_autoencoder()) {
        continue;
      }
      const AutoencoderDef& code = learned.autoencoder();
      if (!code.has_corruption() && !code.has_sparsity() &&
          code.contraction() == 0) {
        return true;
      }
    }
  }
  return false;
}

std::string Reads(const Layer& layer) {
  return absl::StrCat(layer.outputs, " units on ", layer.inputs, " inputs");
}

void WiderThanInput(const Subject& subject, Findings& findings) {
  for (const Layer* layer : Chain(subject)) {
    if (layer->outputs <= layer->inputs) continue;
    const bool copy = MayCopy(subject, *layer);
    Advice& advice = findings.InNetwork(
        *layer->node, absl::StrCat(Reads(*layer), ", more than it reads"),
        copy ? "fewer units, or corruption or sparsity in its autoencoder"
             : "fewer units, unless noise or sparsity keeps them apart");
    if (copy) advice.severity = Severity::kWarning;
  }
}

void NearInputWidth(const Subject& subject, Findings& findings) {
  for (const Layer* layer : Chain(subject)) {
    if (layer->outputs > layer->inputs ||
        layer->outputs < 0.9 * layer->inputs || !MayCopy(subject, *layer)) {
      continue;
    }
    findings.InNetwork(
        *layer->node,
        absl::StrCat(Reads(*layer), ": a plain autoencoder can copy them"),
        "fewer units, or corruption { mask: 0.25 }");
  }
}

void NotTapering(const Subject& subject, Findings& findings) {
  const auto chain = Chain(subject);
  for (size_t i = 1; i < chain.size(); ++i) {
    if (chain[i]->outputs <= chain[i - 1]->outputs) continue;
    findings.InNetwork(
        *chain[i]->node,
        absl::StrCat("it is wider (", chain[i]->outputs,
                     ") than the layer before (", chain[i - 1]->outputs, ")"),
        "let widths fall towards the labels, as 784, 500, 250");
  }
}

void BelowAQuarter(const Subject& subject, Findings& findings) {
  for (const Layer* layer : Chain(subject)) {
    if (4 * layer->outputs >= subject.facts.inputs) continue;
    const bool rather = layer->outputs * 16 < subject.facts.inputs;
    const int64_t least = (subject.facts.inputs + 3) / 4;
    Advice& advice = findings.InNetwork(
        *layer->node,
        absl::StrCat(layer->outputs, " units are below a quarter of the ",
                     subject.facts.inputs, " inputs"),
        absl::StrCat("units: ", least, " or more"));
    if (!rather) continue;
    advice.severity = Severity::kWarning;
    advice.edits =
        findings.SetParameter(*layer->node, "units", std::to_string(least));
  }
}

void NarrowerThanLabels(const Subject& subject, Findings& findings) {
  for (const StageFacts& stage : subject.stages) {
    const PredictionFacts& seen = stage.prediction;
    if (seen.layer == nullptr || !seen.layer->dense ||
        seen.loss != "SoftmaxCrossEntropy") {
      continue;
    }
    for (const Layer* layer : Chain(subject)) {
      if (layer->outputs >= seen.width) continue;
      const int64_t least =
          std::max<int64_t>((subject.facts.inputs + 3) / 4, seen.width);
      findings
          .InNetwork(*layer->node,
                     absl::StrCat("all that is known of ", seen.width,
                                  " classes passes through ", layer->outputs,
                                  layer->outputs == 1 ? " unit" : " units"),
                     absl::StrCat("units: ", least))
          .edits =
          findings.SetParameter(*layer->node, "units", std::to_string(least));
    }
    return;
  }
}

}  // namespace

std::vector<Rule> WidthRules() {
  return {
      {23,
       {"narrower-than-labels", Severity::kWarning,
        "A hidden layer with fewer units than there are classes is a "
        "bottleneck that no later layer widens again.",
        kTaper},
       NarrowerThanLabels},
      {45,
       {"below-a-quarter", Severity::kHint,
        "A hidden layer below a quarter of the input's width throws away what "
        "later layers need.",
        "old craft of deep belief nets: 784, 500, 250, never below 196"},
       BelowAQuarter},
      {60,
       {"wider-than-input", Severity::kHint,
        "A layer wider than what it reads can learn the identity; noise, "
        "sparsity or sampled units (RBM) prevent that.",
        "Vincent et al. 2010, 2.2"},
       WiderThanInput},
      {60,
       {"near-input-width", Severity::kHint,
        "A plain autoencoder nearly as wide as its input learns to copy it.",
        "Vincent et al. 2010, 2.2"},
       NearInputWidth},
      {61,
       {"not-tapering", Severity::kHint,
        "Widths that fall from input to labels make each layer summarise the "
        "one below.",
        kTaper},
       NotTapering},
  };
}

}  // namespace tamer
