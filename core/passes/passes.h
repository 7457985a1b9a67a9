#ifndef TAMER_CORE_PASSES_PASSES_H_
#define TAMER_CORE_PASSES_PASSES_H_

#include <string>

#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

// Graph rewrites. Each takes a checked graph and gives a new one; the result
// can be printed, read again, drawn and compiled like any other.
//
// Names that passes give. Inputs: "labels" or "targets" (what the loss compares
// with), "learning_rate" and "momentum" (scalars, set each step by the
// trainer). Outputs: "loss", and the loss's metric "accuracy" or "rmse" if it
// has one. Nodes: gradients "grad/NODE/…", updates "update/VARIABLE". A network
// that uses such a name itself gets an error.

namespace tamer {

// For prediction: without dropout and the like, and without what no output
// needs.
absl::StatusOr<Graph> Infer(const Graph& network);

// The network with the value called `value` as an input instead of computed,
// what only it needed being left out. Parameters keep their names.
absl::StatusOr<Graph> CutBelow(const Graph& network, const std::string& value);

// Infer, and the loss and its metric as outputs beside the network's own: what
// evaluation runs.
absl::StatusOr<Graph> Evaluate(const Graph& network,
                               const FinetuneDef& finetune);

// The network with loss, metric, gradients (reverse mode), clipping and an
// update node for each trainable parameter that is not frozen. Outputs: loss
// and metric.
absl::StatusOr<Graph> Finetune(const Graph& network,
                               const FinetuneDef& finetune,
                               const SolverDef& solver);

// Up to `layer.node`, forward only, that layer learning as a restricted
// Boltzmann machine by CD-k; the layers below are frozen and run as for
// prediction. The Dense node's weight [in, units] and bias serve as W and
// hidden bias; the pass adds a parameter "NODE/visible_bias" [in]. Output:
// "reconstruction_error", the mean squared difference between data and
// reconstruction.
//
// Hinton 2002, "Training products of experts by minimizing contrastive
// divergence"; details after Hinton 2010, "A practical guide to training
// restricted Boltzmann machines": hidden states are sampled when driven by
// data, the reconstruction and the last hidden update use probabilities
// (section 3).
absl::StatusOr<Graph> Pretrain(const Graph& network, const PretrainLayer& layer,
                               const SolverDef& solver);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_PASSES_H_
