#ifndef TAMER_CORE_PASSES_PRETRAIN_H_
#define TAMER_CORE_PASSES_PRETRAIN_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

// The parts of the pretrain pass, a method each; passes.h tells what they do.

namespace tamer {

// A graph under construction by one method. Nodes are called METHOD/NODE/…; the
// first error is kept, and later additions do nothing.
class PretrainBuilder {
 public:
  PretrainBuilder(Graph graph, const std::string& method,
                  const std::string& node)
      : graph_(std::move(graph)), prefix_(method + "/" + node + "/") {}

  Graph& graph() { return graph_; }
  const absl::Status& status() const { return status_; }

  // Adds node PREFIX/SUFFIX and returns its name, that of its first output.
  std::string Add(const std::string& suffix, const OpParams& op,
                  const std::vector<std::string>& inputs) {
    return AddNamed(prefix_ + suffix, op, inputs);
  }
  // The same with the parameters of node `share_with`.
  std::string AddSharing(const std::string& suffix, const OpParams& op,
                         const std::vector<std::string>& inputs,
                         const std::string& share_with);
  std::string AddNamed(const std::string& name, const OpParams& op,
                       const std::vector<std::string>& inputs);
  // A parameter of this name and shape, not decayed if it is a vector.
  std::string AddParameter(const std::string& name,
                           const std::vector<int64_t>& shape);

  // Updates for `gradients`, and the outputs.
  absl::StatusOr<Graph> Finish(
      const std::map<std::string, std::string>& gradients,
      const SolverDef& solver, const std::vector<std::string>& outputs);
  // The same with the gradients of value "loss" at `trained`.
  absl::StatusOr<Graph> FinishByLoss(const std::vector<std::string>& trained,
                                     const SolverDef& solver,
                                     const std::vector<std::string>& outputs);
  // The same with all that is trainable: whatever leads to the head, and it.
  absl::StatusOr<Graph> FinishTrunk(const SolverDef& solver,
                                    const std::vector<std::string>& outputs);

 private:
  Graph graph_;
  const std::string prefix_;
  absl::Status status_;
};

// Width of a value [B, width].
int64_t WidthOf(const Graph& graph, const std::string& value);

// "NODE/weight" and "NODE/bias", as a Dense calls them.
std::string WeightOf(const std::string& node);
std::string BiasOf(const std::string& node);

// Whether the node is a Conv2D, of which an RBM is convolutional.
bool IsConv(const Graph& graph, const std::string& node);

// What pretraining adds to a Dense node: biases of what stands below it, and
// weights downwards where they are not its own transposed.
std::string VisibleBiasOf(const std::string& node);
std::string DecoderWeightOf(const std::string& node);
std::string GenerativeWeightOf(const std::string& node);

// The Dense nodes from `top` down to the network's input, lowest first: each
// reads the one before. An error if something else stands between.
absl::StatusOr<std::vector<std::string>> StackBelow(const Graph& network,
                                                    const std::string& top);

// A copy of what `value` needs of `graph`, in which the readers of `corrupted`
// see it through op/Corrupt, if `corruption` says one. The noisy value is
// called "noisy", its mask "noisy:1".
absl::StatusOr<Graph> CopyCorrupted(const Graph& graph,
                                    const std::string& value,
                                    const std::string& corrupted,
                                    const CorruptionDef& corruption,
                                    bool for_prediction);

// Each takes the network for prediction up to the layer's node.
absl::StatusOr<Graph> PretrainRbm(Graph trunk, const PretrainLayer& layer,
                                  const SolverDef& solver);
absl::StatusOr<Graph> PretrainConvRbm(Graph trunk, const PretrainLayer& layer,
                                      const SolverDef& solver);
absl::StatusOr<Graph> PretrainAutoencoder(Graph trunk,
                                          const PretrainLayer& layer,
                                          const SolverDef& solver);
absl::StatusOr<Graph> PretrainUnrolled(Graph trunk, const PretrainLayer& layer,
                                       const SolverDef& solver);
absl::StatusOr<Graph> PretrainUpDown(Graph trunk, const PretrainLayer& layer,
                                     const SolverDef& solver);
// Those below take the whole network, of one input. Masked, rotation, labels:
absl::StatusOr<Graph> PretrainByPretext(const Graph& network,
                                        const PretrainLayer& layer,
                                        const SolverDef& solver);
absl::StatusOr<Graph> PretrainMaskedPatches(const Graph& network,
                                            const PretrainLayer& layer,
                                            const SolverDef& solver);
absl::StatusOr<Graph> PretrainContrastive(const Graph& network,
                                          const PretrainLayer& layer,
                                          const SolverDef& solver);
// Masked tokens and causal.
absl::StatusOr<Graph> PretrainLanguage(const Graph& network,
                                       const PretrainLayer& layer,
                                       const SolverDef& solver);

// What pretext tasks call the head that is dropped afterwards.
inline constexpr char kPretextHead[] = "pretext/head";

// The network's input, which a pretext task changes or asks for.
absl::StatusOr<std::string> OnlyInput(const Graph& network);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_PRETRAIN_H_
