#include "core/passes/shared_factors.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/passes/solver.h"

namespace tamer {
namespace {

// With more rows of all workers, each making the product over all of them
// costs more than adding up the gradients.
constexpr int64_t kMostRows = 128;

}  // namespace

bool UpdatesByRows(const Graph& training) {
  for (const Node& node : training.nodes()) {
    if (LimitsGradients(node)) return false;
    if (!absl::StartsWith(node.name, kUpdate)) continue;
    if (!IsBuiltInRule(*node.params)) return false;
    const std::unique_ptr<OpParams> params(node.params->New());
    params->CopyFrom(*node.params);
    if (UpdateSettingsOf(params.get())->max_norm() > 0) return false;
  }
  return true;
}

SharedFactors::SharedFactors(const Graph& graph, const GradientTeam& team)
    : graph_(graph), team_(team), parts_(graph) {
  for (const Node& node : graph.nodes()) {
    limited_ = limited_ || LimitsGradients(node);
  }
}

std::map<int, SharedFactors::Rows> SharedFactors::FactorsOf(
    const RewrittenNode& update) const {
  std::map<int, Rows> factors;
  int input = 1;
  for (const op::GradientProduct& product :
       UpdateSettingsOf(update.params.get())->product()) {
    if (!product.row_sum()) {
      factors[input] = {update.inputs[input], SharedRows::kNone};
      ++input;
    }
    factors[input] = {update.inputs[input], product.divide_by_batch()
                                                ? SharedRows::kFill
                                                : SharedRows::kShare};
    ++input;
  }
  return factors;
}

bool SharedFactors::IsSmall(const RewrittenNode& update,
                            const std::map<int, Rows>& factors) const {
  const auto& products = UpdateSettingsOf(update.params.get())->product();
  if (products.empty()) return false;
  // Of an embedding only the rows of tokens that occur are touched.
  const int64_t most =
      products[0].one_hot()
          ? std::max(kMostRows,
                     graph_.value(update.inputs[0]).type.shape.dim(0))
          : kMostRows;
  int64_t rows = 0;
  for (const auto& factor : factors) {
    const Value& value = graph_.value(factor.second.first);
    if (!value.type.shape.batched()) return false;
    if (value.type.dtype == DType::kFloat) {
      if (value.type.shape.back() < 0) return false;
      rows += value.type.shape.Bind(team_.batch * team_.workers).rows();
    } else if (value.type.dtype != DType::kInt32) {
      return false;
    }
  }
  // Each product has one factor of floats, or two of as many rows.
  const bool two = !products[0].row_sum() && !products[0].one_hot();
  return rows / (two ? 2 : 1) <= most;
}

bool SharedFactors::Share(NodeId update) {
  const Node& node = graph_.node(update);
  if (team_.workers < 2 || limited_) return false;
  auto rewritten = parts_.UpdateByParts(node, team_.precision);
  if (!rewritten.has_value()) {
    RewrittenNode same;
    same.params.reset(node.params->New());
    same.params->CopyFrom(*node.params);
    same.inputs = node.inputs;
    if (UpdateSettingsOf(same.params.get()) == nullptr) return false;
    rewritten = std::move(same);
  }
  const std::map<int, Rows> factors = FactorsOf(*rewritten);
  if (!IsSmall(*rewritten, factors)) return false;
  for (const auto& factor : factors) {
    if (std::find(rows_.begin(), rows_.end(), factor.second) == rows_.end()) {
      rows_.push_back(factor.second);
    }
  }
  updates_[update] = *std::move(rewritten);
  return true;
}

std::string SharedFactors::NameOf(const Rows& rows) const {
  const auto at = std::find(rows_.begin(), rows_.end(), rows);
  return absl::StrCat("shared/", at - rows_.begin());
}

absl::Status SharedFactors::AddOutputs(Graph* gather) const {
  for (const Rows& rows : rows_) {
    const std::string& name = graph_.value(rows.first).name;
    const ValueId id = gather->FindValue(name);
    const auto& outputs = gather->outputs();
    if (std::find(outputs.begin(), outputs.end(), id) == outputs.end()) {
      TAMER_RETURN_IF_ERROR(gather->AddOutput(name));
    }
  }
  return absl::OkStatus();
}

absl::Status SharedFactors::AddInputs(Graph* update) const {
  for (const Rows& rows : rows_) {
    TensorType type = graph_.value(rows.first).type;
    type.shape = type.dtype == DType::kInt32
                     ? Shape({type.shape.elements()})
                     : Shape({type.shape.rows(), type.shape.back()});
    TAMER_RETURN_IF_ERROR(update->AddInput(NameOf(rows), type).status());
  }
  return absl::OkStatus();
}

absl::Status SharedFactors::AddUpdate(NodeId update, Graph* to) const {
  const Node& node = graph_.node(update);
  const RewrittenNode& rewritten = updates_.at(update);
  const std::map<int, Rows> factors = FactorsOf(rewritten);
  std::vector<std::string> inputs;
  for (size_t i = 0; i < rewritten.inputs.size(); ++i) {
    const auto factor = factors.find(static_cast<int>(i));
    inputs.push_back(factor == factors.end()
                         ? graph_.value(rewritten.inputs[i]).name
                         : NameOf(factor->second));
  }
  return to
      ->AddNode(node.name, *rewritten.params, inputs, node.share_with,
                node.location)
      .status();
}

std::vector<SharedRows> SharedFactors::rows() const {
  std::vector<SharedRows> all;
  for (const Rows& rows : rows_) {
    all.push_back({graph_.value(rows.first).name, NameOf(rows), rows.second});
  }
  return all;
}

}  // namespace tamer
