// What the methods of pretraining build their graphs with.

#include "core/passes/autodiff.h"
#include "core/passes/copy.h"
#include "core/passes/pretrain.h"
#include "core/passes/solver.h"
#include "proto/ops/conv.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/pretrain.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {

std::string PretrainBuilder::AddNamed(const std::string& name,
                                      const OpParams& op,
                                      const std::vector<std::string>& inputs) {
  if (status_.ok()) status_ = graph_.AddNode(name, op, inputs).status();
  return name;
}

std::string PretrainBuilder::AddSharing(const std::string& suffix,
                                        const OpParams& op,
                                        const std::vector<std::string>& inputs,
                                        const std::string& share_with) {
  const std::string name = prefix_ + suffix;
  if (status_.ok()) {
    status_ = graph_.AddNode(name, op, inputs, share_with).status();
  }
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

absl::StatusOr<Graph> PretrainBuilder::FinishTrunk(
    const SolverDef& solver, const std::vector<std::string>& outputs) {
  TAMER_RETURN_IF_ERROR(status_);
  std::vector<std::string> trained;
  for (ValueId id : graph_.variables()) {
    if (graph_.variable_spec(id).trainable) {
      trained.push_back(graph_.value(id).name);
    }
  }
  return FinishByLoss(trained, solver, outputs);
}

absl::StatusOr<std::string> OnlyInput(const Graph& network) {
  if (network.inputs().size() == 1) {
    return network.value(network.inputs()[0]).name;
  }
  return Invalid("a pretext task needs a network with one input, not ",
                 network.inputs().size());
}

int64_t WidthOf(const Graph& graph, const std::string& value) {
  return graph.value(graph.FindValue(value)).type.shape.back();
}

bool IsConv(const Graph& graph, const std::string& node) {
  const NodeId id = graph.FindNode(node);
  return id >= 0 &&
         graph.node(id).params->GetDescriptor() == op::Conv2D::descriptor();
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
  options.through = ThroughNode("noisy", corrupt);
  auto copy = CopyNeeded(graph, {value}, options, nullptr);
  if (copy.ok()) return copy;
  return Annotate(copy.status(), "corruption");
}

}  // namespace tamer
