#ifndef TAMER_CORE_PASSES_SHARED_FACTORS_H_
#define TAMER_CORE_PASSES_SHARED_FACTORS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/passes/accumulate.h"
#include "core/passes/gradient_parts.h"

namespace tamer {

// Of a training graph, the updates whose gradients' factors workers share
// instead of the gradients.
class SharedFactors {
 public:
  // `graph` must outlive it.
  SharedFactors(const Graph& graph, const GradientTeam& team);

  // Takes the update, if its gradient is a product of few enough rows.
  bool Share(NodeId update);
  bool Shares(NodeId update) const { return updates_.count(update) > 0; }

  // What was taken, as outputs of the graph for each minibatch, and as inputs
  // and nodes of the one that updates.
  absl::Status AddOutputs(Graph* gather) const;
  absl::Status AddInputs(Graph* update) const;
  absl::Status AddUpdate(NodeId update, Graph* to) const;
  std::vector<SharedRows> rows() const;

 private:
  using Rows = std::pair<ValueId, SharedRows::Weight>;

  // What an update's inputs are shared as, those that are factors.
  std::map<int, Rows> FactorsOf(const RewrittenNode& update) const;
  bool IsSmall(const RewrittenNode& update,
               const std::map<int, Rows>& factors) const;
  std::string NameOf(const Rows& rows) const;

  const Graph& graph_;
  const GradientTeam team_;
  const GradientParts parts_;
  bool limited_ = false;
  std::map<NodeId, RewrittenNode> updates_;
  std::vector<Rows> rows_;  // in the order of the updates
};

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_SHARED_FACTORS_H_
