#include <cmath>

#include "core/advise/rule.h"
#include "core/op/parameters.h"

// First weights, depth, activations and noise of a network.

namespace tamer {
namespace {

bool Saturates(const std::string& activation) {
  return activation == "SIGMOID" || activation == "TANH";
}
bool IsRectifier(const std::string& activation) {
  return activation == "RELU" || activation == "LEAKY_RELU" ||
         activation == "GELU" || activation == "PRELU" ||
         activation == "SILU" || activation == "HARD_SWISH";
}

// Whether any stage begins with the network's initial values and goes backward
// through it.
bool TrainedFromScratch(const Subject& subject) {
  for (const StageFacts& stage : subject.stages) {
    if (stage.finetune() && stage.fresh) return true;
  }
  return false;
}

bool Pretrained(const Subject& subject, const Layer& layer) {
  for (const StageFacts& stage : subject.stages) {
    for (const PretrainLayer& learned : stage.def->pretrain().layer()) {
      if (learned.node() == layer.node->name) return true;
    }
  }
  return false;
}

// The standard deviation of first weights; negative if the kind has none.
double Deviation(const Initializer& init, const Layer& layer) {
  if (init.has_gaussian()) return init.gaussian().stddev();
  if (init.has_uniform()) {
    return (init.uniform().high() - init.uniform().low()) / std::sqrt(12.0);
  }
  if (init.has_xavier()) {
    return std::sqrt(2.0 / (layer.fan_in + layer.fan_out));
  }
  if (init.has_he()) return std::sqrt(2.0 / layer.fan_in);
  return -1;
}

double WantedDeviation(const Layer& layer) {
  return IsRectifier(layer.activation)
             ? std::sqrt(2.0 / layer.fan_in)
             : std::sqrt(2.0 / (layer.fan_in + layer.fan_out));
}

void EqualWeights(const Subject& subject, Findings& findings) {
  for (const Layer& layer : subject.facts.layers) {
    const Initializer& init = layer.weight->initializer;
    const bool constant =
        init.has_zero() || init.has_constant() || Deviation(init, layer) == 0;
    // A last layer of zeros is no symmetry: its units have different targets.
    if (!constant || layer.output) continue;
    findings
        .InNetwork(*layer.node,
                   "all its first weights are equal, so all its units are and "
                   "stay so",
                   "leave out weight_init, or weight_init { xavier {} }")
        .edits = findings.RemoveParameter(*layer.node, "weight_init");
  }
}

void LargeWeights(const Subject& subject, Findings& findings) {
  for (const Layer& layer : subject.facts.layers) {
    const double has = Deviation(layer.weight->initializer, layer);
    const double wants = WantedDeviation(layer);
    if (has < 5 * wants || layer.normalized) continue;
    findings
        .InNetwork(
            *layer.node,
            absl::StrCat("its first weights have a deviation of ", Number(has),
                         "; for ", layer.activation, " on ", layer.fan_in,
                         " inputs ", Number(wants), " keeps signals in range"),
            IsRectifier(layer.activation) ? "weight_init { he {} }"
                                          : "weight_init { xavier {} }")
        .edits = findings.RemoveParameter(*layer.node, "weight_init");
  }
}

void SmallWeights(const Subject& subject, Findings& findings) {
  if (!TrainedFromScratch(subject)) return;
  int small = 0, hidden = 0;
  const Layer* first = nullptr;
  for (const Layer& layer : subject.facts.layers) {
    if (layer.output || layer.normalized || Pretrained(subject, layer)) {
      continue;
    }
    ++hidden;
    const double has = Deviation(layer.weight->initializer, layer);
    if (has <= 0 || has > WantedDeviation(layer) / 5) continue;
    if (small++ == 0) first = &layer;
  }
  // One small layer is made up for by the others.
  if (small < 2 || small * 2 < hidden) return;
  Advice& advice = findings.InNetwork(
      *first->node,
      absl::StrCat(small, " of ", hidden, " hidden layers begin with weights ",
                   "five or more times too small (here ",
                   Number(Deviation(first->weight->initializer, *first)),
                   ", wanted ", Number(WantedDeviation(*first)),
                   "): signals fade from layer to layer"),
      "leave out weight_init");
  for (const Layer& layer : subject.facts.layers) {
    const double has = Deviation(layer.weight->initializer, layer);
    if (layer.output || has <= 0 || has > WantedDeviation(layer) / 5) continue;
    for (Edit& edit : findings.RemoveParameter(*layer.node, "weight_init")) {
      advice.edits.push_back(edit);
    }
  }
}

void InitAgainstActivation(const Subject& subject, Findings& findings) {
  for (const Layer& layer : subject.facts.layers) {
    const Initializer& init = layer.weight->initializer;
    // Said by the user: where nothing is said the op chose rightly.
    const auto* field =
        layer.node->params->GetDescriptor()->FindFieldByName("weight_init");
    if (field == nullptr || !layer.node->params->GetReflection()->HasField(
                                *layer.node->params, field)) {
      continue;
    }
    const bool he_on_sigmoid = init.has_he() && Saturates(layer.activation);
    const bool xavier_on_relu =
        init.has_xavier() && layer.activation == "RELU" && !layer.normalized;
    if (!he_on_sigmoid && !xavier_on_relu) continue;
    findings.InNetwork(
        *layer.node,
        absl::StrCat(he_on_sigmoid ? "He" : "Xavier", " weights on ",
                     layer.activation),
        he_on_sigmoid ? "weight_init { xavier {} }" : "weight_init { he {} }");
  }
}

void LinearStack(const Subject& subject, Findings& findings) {
  for (const Layer& layer : subject.facts.layers) {
    if (layer.activation != "LINEAR" || layer.next == nullptr || !layer.dense ||
        !layer.next->dense || layer.normalized) {
      continue;
    }
    findings
        .InNetwork(
            *layer.node,
            absl::StrCat("it has no activation, and \"", layer.next->node->name,
                         "\" reads it: together they are one linear "
                         "layer"),
            "activation: RELU")
        .edits = findings.SetParameter(*layer.node, "activation", "RELU");
  }
}

void SoftmaxInside(const Subject& subject, Findings& findings) {
  for (const Layer& layer : subject.facts.layers) {
    if (layer.output || layer.next == nullptr ||
        (layer.activation != "SOFTMAX" && layer.activation != "LOG_SOFTMAX")) {
      continue;
    }
    findings.InNetwork(*layer.node,
                       absl::StrCat("a softmax over its ", layer.outputs,
                                    " units goes into another layer: they "
                                    "share a sum of 1, and slopes are tiny"),
                       "RELU or SIGMOID between layers");
  }
}

// Saturating layers one after another, none normalized.
void VanishingDepth(const Subject& subject, Findings& findings) {
  if (!TrainedFromScratch(subject)) return;
  for (const Layer& first : subject.facts.layers) {
    std::vector<const Layer*> run;
    for (const Layer* at = &first;
         at != nullptr && Saturates(at->activation) && !at->normalized;
         at = at->next) {
      run.push_back(at);
    }
    const size_t limit = first.activation == "SIGMOID" ? 4 : 6;
    if (run.size() < limit) continue;
    Advice& advice = findings.InNetwork(
        *first.node,
        absl::StrCat(run.size(), " ", first.activation,
                     " layers in a row from initial values: the slope shrinks "
                     "in each by a factor of 4 or more"),
        "activation: RELU, or pretrain them, or normalize between");
    for (const Layer* layer : run) {
      if (layer->activation_node != layer->node) continue;
      for (Edit& edit :
           findings.SetParameter(*layer->node, "activation", "RELU")) {
        advice.edits.push_back(edit);
      }
    }
    return;
  }
}

void DeepWithoutShortcuts(const Subject& subject, Findings& findings) {
  const NetworkFacts& facts = subject.facts;
  const size_t depth = facts.layers.size();
  if (depth < 12 || facts.joins || facts.normalizes) return;
  findings.InNetwork(*facts.layers[0].node,
                     absl::StrCat(depth,
                                  " layers without normalization or "
                                  "sums that pass them by"),
                     "BatchNorm or LayerNorm after layers, or residual blocks");
}

void HighDropout(const Subject& subject, Findings& findings) {
  for (const Node& node : subject.network.nodes()) {
    if (node.op->name() != "Dropout") continue;
    const double rate = NumberParameter(*node.params, "rate", 0);
    if (rate < 0.75) continue;
    findings
        .InNetwork(
            node,
            absl::StrCat("dropout leaves ", Percent(1 - rate), " of its input"),
            "rate: 0.2; up to 0.5 for wide layers in long runs")
        .edits = findings.SetParameter(node, "rate", "0.2");
  }
}

void SmallBatchNorm(const Subject& subject, Findings& findings) {
  for (const Node& node : subject.network.nodes()) {
    if (node.op->name() != "BatchNorm") continue;
    // An image gives as many values a channel as it has pixels.
    const Shape& shape = subject.network.value(node.inputs[0]).type.shape;
    int64_t pixels = 1;
    for (int i = 2; i < shape.rank(); ++i) pixels *= shape.dim(i);
    for (const StageFacts& stage : subject.stages) {
      if (!stage.finetune() || stage.batch * pixels >= 8) continue;
      findings.InNetwork(
          node,
          absl::StrCat("stage \"", stage.name(), "\" takes the statistics of ",
                       stage.batch * pixels, " values"),
          "a minibatch of 10 or more, or LayerNorm");
      return;
    }
  }
}

}  // namespace

std::vector<Rule> NetworkRules() {
  constexpr char kInit[] = "Glorot and Bengio 2010, 4.2.1; He et al. 2015, 2.2";
  return {
      {6,
       {"equal-weights", Severity::kWarning,
        "Units that begin alike get like gradients and stay alike: the layer "
        "has one unit.",
        "Bengio 2012, Practical recommendations, 3.2"},
       EqualWeights},
      {15,
       {"large-weights", Severity::kWarning,
        "Too large first weights saturate sigmoids and let rectified signals "
        "and slopes explode from layer to layer.",
        kInit},
       LargeWeights},
      {16,
       {"small-weights", Severity::kWarning,
        "Too small first weights let signals and slopes fade from layer to "
        "layer.",
        kInit},
       SmallWeights},
      {62,
       {"init-against-activation", Severity::kHint,
        "Rectifiers halve the variance of a signal, so their weights take "
        "twice as much (He); sigmoids want what lies between (Xavier).",
        kInit},
       InitAgainstActivation},
      {25,
       {"linear-stack", Severity::kWarning,
        "Two linear layers are one: the second adds parameters and no power.",
        "linear algebra"},
       LinearStack},
      {26,
       {"softmax-inside", Severity::kWarning,
        "A softmax tells which of its units wins; between hidden layers it "
        "throws the other features away.",
        "Glorot and Bengio 2010"},
       SoftmaxInside},
      {27,
       {"vanishing-depth", Severity::kWarning,
        "A sigmoid's slope is at most a quarter: many in a row leave nothing "
        "for the first layers. Pretraining, rectifiers or normalization mend "
        "it.",
        "Hochreiter 1991; Glorot and Bengio 2010, 3"},
       VanishingDepth},
      {63,
       {"deep-without-shortcuts", Severity::kHint,
        "Past some twenty layers plain networks get worse with depth; residual "
        "sums and normalization let the slope through.",
        "He et al. 2016, 1"},
       DeepWithoutShortcuts},
      {41,
       {"high-dropout", Severity::kWarning,
        "Of the inputs 20 %, of hidden units up to 50 % may be dropped; beyond "
        "that little is left to learn from.",
        "Srivastava et al. 2014, A.4"},
       HighDropout},
      {42,
       {"small-batch-norm", Severity::kWarning,
        "Statistics of a few values are noise, and differ from the running "
        "ones that prediction uses.",
        "Ioffe 2017; Wu and He 2018, 1"},
       SmallBatchNorm},
  };
}

}  // namespace tamer
