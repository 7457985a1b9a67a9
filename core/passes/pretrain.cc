#include "core/passes/pretrain.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "core/base/suggest.h"
#include "core/passes/autodiff.h"
#include "core/passes/copy.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/pretrain.pb.h"
#include "proto/ops/shape.pb.h"

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

absl::Status CheckMethod(const Graph& network, const PretrainLayer& layer) {
  TAMER_RETURN_IF_ERROR(CheckNode(network, layer));
  switch (layer.method_case()) {
    case PretrainLayer::kRbm:
      TAMER_RETURN_IF_ERROR(CheckRbm(layer.rbm()));
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
      return absl::OkStatus();
    case PretrainLayer::METHOD_NOT_SET:
      break;
  }
  return Invalid("no method is given; add rbm {}");
}

absl::StatusOr<Graph> Dispatch(const Graph& network, const PretrainLayer& layer,
                               const SolverDef& solver) {
  TAMER_RETURN_IF_ERROR(CheckMethod(network, layer));
  if (layer.has_masked() || layer.has_rotation() || layer.has_labels()) {
    return PretrainByPretext(network, layer, solver);
  }
  CopyOptions options;
  options.for_prediction = true;
  TAMER_ASSIGN_OR_RETURN(Graph trunk,
                         CopyNeeded(network, {layer.node()}, options, nullptr));
  if (layer.has_rbm()) return PretrainRbm(std::move(trunk), layer, solver);
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

std::string PretrainBuilder::AddNamed(const std::string& name,
                                      const OpParams& op,
                                      const std::vector<std::string>& inputs) {
  if (status_.ok()) status_ = graph_.AddNode(name, op, inputs).status();
  return name;
}

std::string PretrainBuilder::AddParameter(const std::string& name,
                                          const std::vector<int64_t>& shape) {
  op::Parameter parameter;
  for (int64_t dim : shape) parameter.add_shape(dim);
  if (shape.size() == 1) {
    parameter.set_decay(false);
  } else {
    parameter.mutable_init()->mutable_xavier();
  }
  return AddNamed(name, parameter, {});
}

absl::StatusOr<Graph> PretrainBuilder::Finish(
    const std::map<std::string, std::string>& gradients,
    const SolverDef& solver, const std::vector<std::string>& outputs) {
  TAMER_RETURN_IF_ERROR(status_);
  TAMER_RETURN_IF_ERROR(AddUpdates(graph_, gradients, solver));
  graph_.ClearOutputs();
  for (const std::string& output : outputs) {
    TAMER_RETURN_IF_ERROR(graph_.AddOutput(output));
  }
  return std::move(graph_);
}

absl::StatusOr<Graph> PretrainBuilder::FinishByLoss(
    const std::vector<std::string>& trained, const SolverDef& solver,
    const std::vector<std::string>& outputs) {
  TAMER_RETURN_IF_ERROR(status_);
  TAMER_ASSIGN_OR_RETURN(const auto gradients,
                         Differentiate(graph_, "loss", trained));
  return Finish(gradients, solver, outputs);
}

int64_t WidthOf(const Graph& graph, const std::string& value) {
  return graph.value(graph.FindValue(value)).type.shape.back();
}

std::string WeightOf(const std::string& node) { return node + "/weight"; }
std::string BiasOf(const std::string& node) { return node + "/bias"; }
std::string VisibleBiasOf(const std::string& node) {
  return node + "/visible_bias";
}
std::string DecoderWeightOf(const std::string& node) {
  return node + "/decoder_weight";
}
std::string GenerativeWeightOf(const std::string& node) {
  return node + "/generative_weight";
}

absl::StatusOr<std::vector<std::string>> StackBelow(const Graph& network,
                                                    const std::string& top) {
  CopyOptions options;
  options.for_prediction = true;
  TAMER_ASSIGN_OR_RETURN(const Graph trunk,
                         CopyNeeded(network, {top}, options, nullptr));
  std::vector<std::string> stack;
  ValueId at = trunk.FindValue(top);
  while (trunk.value(at).kind == Value::kOutput) {
    const Node& node = trunk.node(trunk.value(at).node);
    if (node.params->GetDescriptor() != op::Dense::descriptor()) {
      return Invalid("below it stands \"", node.name, "\", a ", node.op->name(),
                     "; a stack is of Dense nodes down to ", "the input");
    }
    stack.insert(stack.begin(), node.name);
    at = node.inputs[0];
  }
  return stack;
}

absl::StatusOr<Graph> CopyCorrupted(const Graph& graph,
                                    const std::string& value,
                                    const std::string& corrupted,
                                    const CorruptionDef& corruption,
                                    bool for_prediction) {
  CopyOptions options;
  options.for_prediction = for_prediction;
  op::Corrupt corrupt;
  switch (corruption.kind_case()) {
    case CorruptionDef::kMask:
      corrupt.set_amount(corruption.mask());
      break;
    case CorruptionDef::kSaltPepper:
      corrupt.set_kind(op::Corrupt::SALT_PEPPER);
      corrupt.set_amount(corruption.salt_pepper());
      break;
    case CorruptionDef::kGaussian:
      corrupt.set_kind(op::Corrupt::GAUSSIAN);
      corrupt.set_amount(corruption.gaussian());
      break;
    case CorruptionDef::KIND_NOT_SET:
      return CopyNeeded(graph, {value}, options, nullptr);
  }
  options.through_value = corrupted;
  options.through_node = "noisy";
  options.through = &corrupt;
  auto copy = CopyNeeded(graph, {value}, options, nullptr);
  if (copy.ok()) return copy;
  return Annotate(copy.status(), "corruption");
}

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
