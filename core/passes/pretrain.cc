#include "core/passes/pretrain.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "core/base/suggest.h"
#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "proto/ops/conv.pb.h"
#include "proto/ops/dense.pb.h"

namespace tamer {
namespace {

absl::Status CheckRange(bool holds, const char* field, double seen,
                        const char* rule) {
  if (holds) return absl::OkStatus();
  return Invalid(field, " is ", seen, "; it must be ", rule);
}

absl::Status CheckNode(const Graph& network, const PretrainLayer& layer) {
  const NodeId id = network.FindNode(layer.node());
  if (id < 0) {
    std::vector<std::string> names;
    for (const Node& node : network.nodes()) names.push_back(node.name);
    return Invalid("there is no such node", DidYouMean(layer.node(), names));
  }
  return absl::OkStatus();
}

// What layerwise methods and stacks ask of a node.
absl::Status CheckDense(const Graph& network, const std::string& name,
                        const char* method, bool sigmoid_only) {
  const Node& node = network.node(network.FindNode(name));
  if (node.params->GetDescriptor() != op::Dense::descriptor()) {
    return Invalid("it is a ", node.op->name(), ", but ", method,
                   " learns a Dense");
  }
  const auto& dense = static_cast<const op::Dense&>(*node.params);
  const bool sigmoid = dense.activation() == op::SIGMOID;
  const bool relu = dense.activation() == op::RELU;
  if (!dense.bias() || (sigmoid_only && !sigmoid) || (!sigmoid && !relu)) {
    return Invalid(method, " needs a Dense with activation: SIGMOID",
                   sigmoid_only ? "" : " or RELU", " and a bias");
  }
  if (!node.share_with.empty()) {
    return Invalid("it shares the parameters of \"", node.share_with,
                   "\"; pretrain that node");
  }
  const Shape& visible = network.value(node.inputs[0]).type.shape;
  if (visible.rank() != 2) {
    return Invalid(method, " needs an input [B, width], not ",
                   visible.ToString(), "; put op/Flatten before it");
  }
  return absl::OkStatus();
}

absl::Status CheckCdSteps(int steps) {
  return CheckRange(steps >= 1 && steps <= 1000, "cd_steps", steps,
                    "1 to 1000");
}

absl::Status CheckRbm(const RbmDef& rbm) {
  TAMER_RETURN_IF_ERROR(CheckCdSteps(rbm.cd_steps()));
  return CheckRange(rbm.particles() >= 1 && rbm.particles() <= 1'000'000,
                    "particles", rbm.particles(), "1 to 1000000");
}

absl::Status CheckConvRbm(const Graph& network, const PretrainLayer& layer) {
  const Node& node = network.node(network.FindNode(layer.node()));
  const auto& conv = static_cast<const op::Conv2D&>(*node.params);
  if (!conv.bias() ||
      (conv.activation() != op::SIGMOID && conv.activation() != op::RELU)) {
    return Invalid("an RBM needs a Conv2D with activation: SIGMOID or RELU ",
                   "and a bias");
  }
  if (!node.share_with.empty()) {
    return Invalid("it shares the parameters of \"", node.share_with,
                   "\"; pretrain that node");
  }
  if (layer.rbm().persistent() || layer.rbm().has_sparsity()) {
    return Invalid("a convolutional RBM has neither persistent chains nor a ",
                   "sparsity target");
  }
  return absl::OkStatus();
}

absl::Status CheckMethod(const Graph& network, const PretrainLayer& layer) {
  TAMER_RETURN_IF_ERROR(CheckNode(network, layer));
  switch (layer.method_case()) {
    case PretrainLayer::kRbm:
      TAMER_RETURN_IF_ERROR(CheckRbm(layer.rbm()));
      if (IsConv(network, layer.node())) return CheckConvRbm(network, layer);
      return CheckDense(network, layer.node(), "an RBM",
                        layer.rbm().has_sparsity());
    case PretrainLayer::kAutoencoder: {
      const AutoencoderDef& def = layer.autoencoder();
      TAMER_RETURN_IF_ERROR(
          CheckRange(std::isfinite(def.contraction()) && def.contraction() >= 0,
                     "contraction", def.contraction(), "at least 0"));
      return CheckDense(network, layer.node(), "an autoencoder",
                        def.has_sparsity() || def.contraction() > 0);
    }
    case PretrainLayer::kUnrolled:
    case PretrainLayer::kUpDown: {
      const bool up_down = layer.has_up_down();
      if (up_down) {
        TAMER_RETURN_IF_ERROR(CheckCdSteps(layer.up_down().cd_steps()));
      }
      TAMER_ASSIGN_OR_RETURN(const auto stack,
                             StackBelow(network, layer.node()));
      for (const std::string& node : stack) {
        TAMER_RETURN_IF_ERROR(
            Annotate(CheckDense(network, node, up_down ? "up_down" : "unrolled",
                                up_down),
                     absl::StrCat("node \"", node, "\"")));
      }
      return absl::OkStatus();
    }
    case PretrainLayer::kMasked:
      return CheckRange(layer.masked().mask() > 0 && layer.masked().mask() < 1,
                        "mask", layer.masked().mask(), "in (0, 1)");
    case PretrainLayer::kRotation:
    case PretrainLayer::kLabels:
    case PretrainLayer::kMaskedPatches:
    case PretrainLayer::kContrastive:
    case PretrainLayer::kMaskedTokens:
    case PretrainLayer::kCausal:
      return absl::OkStatus();
    case PretrainLayer::METHOD_NOT_SET:
      break;
  }
  return Invalid("no method is given; add rbm {}");
}

// Null for what learns on a trunk for prediction.
using TrunkMethod = absl::StatusOr<Graph> (*)(const Graph&,
                                              const PretrainLayer&,
                                              const SolverDef&);
TrunkMethod TrunkMethodOf(const PretrainLayer& layer) {
  switch (layer.method_case()) {
    case PretrainLayer::kMasked:
    case PretrainLayer::kRotation:
    case PretrainLayer::kLabels:
      return PretrainByPretext;
    case PretrainLayer::kMaskedPatches:
      return PretrainMaskedPatches;
    case PretrainLayer::kContrastive:
      return PretrainContrastive;
    case PretrainLayer::kMaskedTokens:
    case PretrainLayer::kCausal:
      return PretrainLanguage;
    default:
      return nullptr;
  }
}

absl::StatusOr<Graph> Dispatch(const Graph& network, const PretrainLayer& layer,
                               const SolverDef& solver) {
  TAMER_RETURN_IF_ERROR(CheckMethod(network, layer));
  if (const TrunkMethod method = TrunkMethodOf(layer)) {
    return method(network, layer, solver);
  }
  CopyOptions options;
  options.for_prediction = true;
  TAMER_ASSIGN_OR_RETURN(Graph trunk,
                         CopyNeeded(network, {layer.node()}, options, nullptr));
  if (layer.has_rbm()) {
    return IsConv(network, layer.node())
               ? PretrainConvRbm(std::move(trunk), layer, solver)
               : PretrainRbm(std::move(trunk), layer, solver);
  }
  if (layer.has_autoencoder()) {
    return PretrainAutoencoder(std::move(trunk), layer, solver);
  }
  if (layer.has_unrolled()) {
    return PretrainUnrolled(std::move(trunk), layer, solver);
  }
  return PretrainUpDown(std::move(trunk), layer, solver);
}

StartValue FromData(const std::string& node, VisibleUnits visible) {
  return {VisibleBiasOf(node), VisibleBiasOf(node),
          visible == BERNOULLI ? StartValue::kLogitOfMean : StartValue::kMean,
          ""};
}

StartValue Transposed(const std::string& variable, const std::string& node) {
  return {variable, variable, StartValue::kTransposed, WeightOf(node)};
}

}  // namespace

bool IsPretrained(const std::string& name) {
  for (const char* suffix :
       {"/visible_bias", "/decoder_weight", "/generative_weight"}) {
    if (absl::EndsWith(name, suffix)) {
      return !absl::StartsWith(name, "update/");
    }
  }
  return false;
}

bool LearnsOneLayer(const PretrainLayer& layer) {
  return layer.has_rbm() || layer.has_autoencoder();
}

std::vector<StartValue> StartValues(const Graph& network,
                                    const PretrainLayer& layer) {
  std::vector<StartValue> starts;
  const std::string& node = layer.node();
  if (layer.has_autoencoder()) {
    starts.push_back(FromData(node, layer.autoencoder().visible()));
  } else if (layer.has_rbm()) {
    const RbmDef& rbm = layer.rbm();
    StartValue hidden{BiasOf(node), VisibleBiasOf(node), StartValue::kConstant,
                      ""};
    const double target = rbm.sparsity().target();
    if (rbm.has_hidden_bias()) {
      hidden.constant = rbm.hidden_bias();
      starts.push_back(hidden);
    } else if (rbm.has_sparsity() && target > 0 && target < 1) {
      hidden.constant = static_cast<float>(std::log(target / (1 - target)));
      starts.push_back(hidden);
    }
    if (rbm.visible_bias_from_data()) {
      starts.push_back(FromData(node, rbm.visible()));
    }
  } else if (layer.has_unrolled() || layer.has_up_down()) {
    const auto stack = StackBelow(network, node);
    if (!stack.ok()) return starts;
    for (const std::string& member : *stack) {
      if (layer.has_unrolled() && layer.unrolled().decoder() == FREE) {
        starts.push_back(Transposed(DecoderWeightOf(member), member));
      }
      if (layer.has_up_down() && member != stack->back()) {
        starts.push_back(Transposed(GenerativeWeightOf(member), member));
      }
    }
    starts.push_back(FromData(stack->front(), layer.has_unrolled()
                                                  ? layer.unrolled().visible()
                                                  : BERNOULLI));
  }
  return starts;
}

absl::StatusOr<Graph> Pretrain(const Graph& network, const PretrainLayer& layer,
                               const SolverDef& solver) {
  auto graph = Dispatch(network, layer, solver);
  if (graph.ok()) return graph;
  return Annotate(graph.status(),
                  absl::StrCat("pretrain: layer \"", layer.node(), "\""));
}

}  // namespace tamer
