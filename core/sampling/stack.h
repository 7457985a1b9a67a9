#ifndef TAMER_CORE_SAMPLING_STACK_H_
#define TAMER_CORE_SAMPLING_STACK_H_

#include <string>
#include <vector>

#include "core/plan/variables.h"
#include "core/train/product.h"

namespace tamer {

// A layer that pretraining can run both ways: up by the node's own weight
// [below, units] and bias, down by what pretraining left beside them.
struct TwoWayLayer {
  std::string node;
  int64_t below = 0, units = 0;
  bool rectified = false;  // RELU, not SIGMOID
  // Weights downwards: generative or a decoder's [units, below], or the node's
  // own to be transposed.
  std::string down_weight;
  bool down_transposed = false;
  VisibleUnits visible = BERNOULLI;
};

// The layers of a product from the input up to `top` (all that were pretrained,
// if
// ""), lowest first. An error if one of them wasn't pretrained.
absl::StatusOr<std::vector<TwoWayLayer>> FindStack(const Product& product,
                                                   const std::string& top);

// The same whether pretrained or not; `top` must be named.
absl::StatusOr<std::vector<TwoWayLayer>> FindChain(const Product& product,
                                                   const std::string& top);

// Builds graphs over the parameters of such layers.
class StackGraph {
 public:
  explicit StackGraph(const OpRegistry* registry) : graph_(registry) {}

  Graph& graph() { return graph_; }
  const absl::Status& status() const { return status_; }

  // Each adds nodes called after `name` and returns the value's: what a layer
  // makes of `x`, as means (or for `linear` the argument), and samples about
  // means.
  std::string Up(const std::string& name, const TwoWayLayer& layer,
                 const std::string& x, bool linear = false);
  std::string Down(const std::string& name, const TwoWayLayer& layer,
                   const std::string& x, bool linear = false);
  std::string SampleHidden(const std::string& name, const TwoWayLayer& layer,
                           const std::string& x);
  std::string SampleVisible(const std::string& name, const TwoWayLayer& layer,
                            const std::string& mean);
  std::string Add(const std::string& name, const OpParams& op,
                  const std::vector<std::string>& inputs);

 private:
  // The parameter, as a node of this graph.
  std::string Parameter(const std::string& name,
                        const std::vector<int64_t>& shape);

  Graph graph_;
  absl::Status status_;
};

}  // namespace tamer

#endif  // TAMER_CORE_SAMPLING_STACK_H_
