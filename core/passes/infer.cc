#include "core/passes/copy.h"
#include "core/passes/head.h"
#include "core/passes/passes.h"

namespace tamer {

namespace {

// A copy of what the network's outputs need, with these as outputs again.
absl::StatusOr<Graph> CopyToOutputs(const Graph& network,
                                    const CopyOptions& options) {
  std::vector<std::string> outputs;
  TAMER_ASSIGN_OR_RETURN(Graph result, CopyNeeded(network, OutputNames(network),
                                                  options, &outputs));
  for (const std::string& output : outputs) {
    TAMER_RETURN_IF_ERROR(result.AddOutput(output));
  }
  return result;
}

}  // namespace

absl::StatusOr<Graph> Infer(const Graph& network) {
  CopyOptions options;
  options.for_prediction = true;
  return CopyToOutputs(network, options);
}

absl::StatusOr<Graph> Evaluate(const Graph& network,
                               const FinetuneDef& finetune) {
  // The loss may look at a value that is no output.
  Graph with_head = network;
  TAMER_ASSIGN_OR_RETURN(const Head head, AddHead(with_head, finetune));
  for (const std::string& output : head.outputs) {
    TAMER_RETURN_IF_ERROR(with_head.AddOutput(output));
  }
  return Infer(with_head);
}

absl::StatusOr<Graph> CutBelow(const Graph& network, const std::string& value) {
  CopyOptions options;
  options.cut = value;
  return CopyToOutputs(network, options);
}

}  // namespace tamer
