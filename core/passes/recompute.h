#ifndef TAMER_CORE_PASSES_RECOMPUTE_H_
#define TAMER_CORE_PASSES_RECOMPUTE_H_

#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

namespace tamer {

// The training graph with less memory for what the way forward leaves to the
// way back, at the price of more arithmetic (Chen et al. 2016, "Training deep
// nets with sublinear memory cost"): the way forward is cut into segments; of
// each only what later ones read is kept, and the rest is computed again, by
// nodes called "recompute/NODE" just before the first node that reads it on the
// way back. Updates move to where their gradients are made, so that these can
// be forgotten. Values are the same to the last bit, random ones too (see
// kRecomputed in core/graph/graph.h).
//
// `how` gives the segments: every so many nodes, or the blocks that it names
// (an instance each; of a single node the value is dropped); or neither: about
// as many segments as the root of the number of values, of equal bytes, by
// PeakBytes() the best of some such numbers, or none if that is no better.
//
// What changes variables as it runs (BatchNorm) is never run twice; its values
// are kept. A graph without a way back (an RBM's) stays as it is. Before Fuse.
absl::StatusOr<Graph> Recompute(const Graph& training, const RecomputeDef& how,
                                int64_t batch);

// Bytes of the values that are needed at once, at the most, if nodes run in the
// graph's order with `batch` samples: what the planner's arena comes near to.
int64_t PeakBytes(const Graph& graph, int64_t batch);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_RECOMPUTE_H_
