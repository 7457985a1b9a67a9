#ifndef TAMER_CORE_PASSES_GRADIENT_PARTS_H_
#define TAMER_CORE_PASSES_GRADIENT_PARTS_H_

#include <memory>
#include <optional>
#include <vector>

#include "core/graph/graph.h"
#include "proto/ops/update.pb.h"
#include "proto/precision.pb.h"

namespace tamer {

// A node as a pass will write it.
struct RewrittenNode {
  std::shared_ptr<OpParams> params;
  std::vector<ValueId> inputs;
};

// Finds the gradients of a training graph that are sums of products a' b, or
// of rows: an update rule can make those itself, block by block, so that the
// gradient is never stored; and a gradient of a minibatch's few rows is much
// larger than its factors.
class GradientParts {
 public:
  // `graph` must outlive it.
  explicit GradientParts(const Graph& graph);

  // The node, an update by a built-in rule, with its gradient's factors in the
  // gradient's place; nothing if that is no such sum, or if others read it.
  std::optional<RewrittenNode> UpdateByParts(const Node& update,
                                             Precision precision) const;

  // Whether just one node reads the value.
  bool ReadOnce(ValueId id) const {
    return readers_[id] == 1 && !is_output_[id];
  }
  // The parameters of the node that computes `id`, if it is of this op.
  template <typename Params>
  const Params* MadeBy(ValueId id) const {
    const Value& value = graph_.value(id);
    if (value.kind != Value::kOutput || value.index != 0) return nullptr;
    const Node& node = graph_.node(value.node);
    return node.params->GetDescriptor() == Params::descriptor()
               ? static_cast<const Params*>(node.params.get())
               : nullptr;
  }

 private:
  // factor * a' b, or factor * sum of b's rows.
  struct Part {
    ValueId a = -1, b = -1;
    op::GradientProduct product;
  };

  // What a gradient that nobody else reads is the sum of; empty if it is no
  // sum of products or of rows.
  std::vector<Part> PartsOf(ValueId gradient, int rank) const;
  std::vector<Part> MatrixParts(ValueId gradient) const;
  std::vector<Part> VectorParts(ValueId gradient) const;
  // Takes Scale nodes off what `part` reads.
  void Unscale(Part* part) const;
  void Unfold(const Part& part, std::vector<Part>* parts) const;
  const std::vector<ValueId>& MakerInputs(ValueId id) const {
    return graph_.node(graph_.value(id).node).inputs;
  }

  const Graph& graph_;
  std::vector<int> readers_;  // by value
  std::vector<bool> is_output_;
};

// Whether a node limits gradients, or measures them for that.
bool LimitsGradients(const Node& node);

// Whether these are a built-in update rule's: a plugin's may have the settings,
// but not know of products.
bool IsBuiltInRule(const OpParams& params);

// The settings of an update rule in `params`, a built-in one's or a plugin's;
// null if it has none.
op::UpdateSettings* UpdateSettingsOf(OpParams* params);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_GRADIENT_PARTS_H_
