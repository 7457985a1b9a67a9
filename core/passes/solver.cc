#include "core/passes/solver.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/match.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/passes/sparse.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

absl::Status Require(bool holds, const char* field, double seen,
                     const char* rule) {
  if (holds) return absl::OkStatus();
  return Invalid("solver: ", field, " is ", seen, "; it must be ", rule);
}

bool Positive(double x) { return std::isfinite(x) && x > 0; }
bool InUnit(double x) { return x >= 0 && x < 1; }

absl::Status CheckRate(double rate) {
  return Require(Positive(rate), "learning_rate", rate, "above 0");
}

absl::Status CheckAdam(const AdamDef& adam) {
  TAMER_RETURN_IF_ERROR(CheckRate(adam.learning_rate()));
  TAMER_RETURN_IF_ERROR(
      Require(InUnit(adam.beta1()), "beta1", adam.beta1(), "in [0, 1)"));
  TAMER_RETURN_IF_ERROR(
      Require(InUnit(adam.beta2()), "beta2", adam.beta2(), "in [0, 1)"));
  return Require(Positive(adam.epsilon()), "epsilon", adam.epsilon(),
                 "above 0");
}

absl::Status CheckSgd(const SgdDef& sgd) {
  TAMER_RETURN_IF_ERROR(CheckRate(sgd.learning_rate()));
  return Require(InUnit(sgd.momentum()), "momentum", sgd.momentum(),
                 "in [0, 1)");
}

// A plugin's rule with the settings of one parameter. Its schema has the field
// `settings` that all update rules have.
absl::StatusOr<std::unique_ptr<OpParams>> NewCustomUpdate(
    const CustomRuleDef& custom, const op::UpdateSettings& settings,
    const OpRegistry& registry) {
  auto rule = UnpackOp(custom.rule(), registry);
  if (!rule.ok()) return Annotate(rule.status(), "solver: custom");
  const auto* field = (*rule)->GetDescriptor()->FindFieldByName("settings");
  if (field == nullptr ||
      field->message_type() != op::UpdateSettings::descriptor()) {
    return Invalid("solver: custom: ", (*rule)->GetDescriptor()->name(),
                   " is not an update rule");
  }
  (*rule)
      ->GetReflection()
      ->MutableMessage(rule->get(), field)
      ->CopyFrom(settings);
  return rule;
}

// An update op with the settings of one parameter.
absl::StatusOr<std::unique_ptr<OpParams>> NewUpdate(
    const SolverDef& solver, const op::UpdateSettings& settings,
    const OpRegistry& registry) {
  const auto with_settings = [&](auto rule) -> std::unique_ptr<OpParams> {
    *rule.mutable_settings() = settings;
    return std::make_unique<decltype(rule)>(rule);
  };
  const auto adam = [&](const AdamDef& def, bool decoupled) {
    op::Adam rule;
    rule.set_beta1(def.beta1());
    rule.set_beta2(def.beta2());
    rule.set_epsilon(def.epsilon());
    if (decoupled) rule.set_decoupled_decay(true);
    return with_settings(rule);
  };
  switch (solver.rule_case()) {
    case SolverDef::kSgd:
      if (solver.sgd().momentum() == 0) return with_settings(op::Sgd());
      return with_settings(op::Momentum());
    case SolverDef::kNesterov: {
      op::Momentum rule;
      rule.set_nesterov(true);
      return with_settings(rule);
    }
    case SolverDef::kAdam:
      return adam(solver.adam(), false);
    case SolverDef::kAdamw:
      return adam(solver.adamw(), true);
    case SolverDef::kRmsprop: {
      op::RmsProp rule;
      rule.set_rho(solver.rmsprop().rho());
      rule.set_epsilon(solver.rmsprop().epsilon());
      return with_settings(rule);
    }
    case SolverDef::kAdagrad: {
      op::AdaGrad rule;
      rule.set_epsilon(solver.adagrad().epsilon());
      return with_settings(rule);
    }
    case SolverDef::kCustom:
      return NewCustomUpdate(solver.custom(), settings, registry);
    case SolverDef::RULE_NOT_SET:
      break;
  }
  return Invalid("the solver has no rule");
}

// The multiplier of the longest name that covers `node`.
float MultiplierOf(const SolverDef& solver, const std::string& node) {
  float multiplier = 1;
  size_t longest = 0;
  for (const auto& entry : solver.rate_multiplier()) {
    if (Covers(entry.first, node) && entry.first.size() >= longest) {
      longest = entry.first.size();
      multiplier = entry.second;
    }
  }
  return multiplier;
}

// Adds to an update's inputs the gradient, or the factors of rows that tokens
// choose.
absl::Status AddGradient(Graph& graph, const std::string& gradient,
                         const SolverDef& solver, op::UpdateSettings* settings,
                         std::vector<std::string>* inputs) {
  TokenGradient rows;
  if (!solver.has_custom() && settings->max_norm() == 0) {
    TAMER_ASSIGN_OR_RETURN(rows, TokenGradientOf(graph, gradient));
  }
  if (rows.products.empty()) rows.inputs = {gradient};
  inputs->insert(inputs->end(), rows.inputs.begin(), rows.inputs.end());
  for (const op::GradientProduct& product : rows.products) {
    *settings->add_product() = product;
  }
  return absl::OkStatus();
}

// Whether `pattern`, in which * stands for any characters, is `text`.
bool Matches(absl::string_view pattern, absl::string_view text) {
  size_t p = 0, t = 0;
  // Where to go on if what follows the last star doesn't fit.
  size_t star = absl::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

absl::Status AddScalarInput(Graph& graph, const char* name) {
  if (graph.FindValue(name) >= 0) {
    return Invalid("the name \"", name, "\" is the solver's; call your own ",
                   "value something else");
  }
  return graph.AddInput(name, TensorType()).status();
}

}  // namespace

std::vector<std::string> UpdatedBy(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    if (absl::StartsWith(node.name, kUpdate)) {
      names.push_back(node.name.substr(sizeof(kUpdate) - 1));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Covers(const std::string& name, const std::string& node) {
  for (size_t end = 1; end <= node.size(); ++end) {
    const bool whole =
        end == node.size() || node[end] == '/' || node[end] == '.';
    if (whole && Matches(name, absl::string_view(node).substr(0, end))) {
      return true;
    }
  }
  return false;
}

absl::Status CheckCoversSome(const Graph& graph, const std::string& name,
                             const char* field) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    if (Covers(name, node.name)) return absl::OkStatus();
    names.push_back(node.name);
  }
  return Invalid(field, ": there is no node \"", name, "\"",
                 DidYouMean(name, names));
}

absl::Status CheckSolver(const SolverDef& solver) {
  const float decay = solver.weight_decay();
  TAMER_RETURN_IF_ERROR(Require(std::isfinite(decay) && decay >= 0,
                                "weight_decay", decay, "at least 0"));
  const float norm = solver.max_norm();
  TAMER_RETURN_IF_ERROR(Require(std::isfinite(norm) && norm >= 0, "max_norm",
                                norm, "at least 0"));
  TAMER_RETURN_IF_ERROR(Require(Positive(solver.rate_divisor_by_depth()),
                                "rate_divisor_by_depth",
                                solver.rate_divisor_by_depth(), "above 0"));
  for (const auto& entry : solver.rate_multiplier()) {
    if (!std::isfinite(entry.second) || entry.second < 0) {
      return Invalid("solver: rate_multiplier of \"", entry.first, "\" is ",
                     entry.second, "; it must be at least 0");
    }
  }
  switch (solver.rule_case()) {
    case SolverDef::kSgd:
      return CheckSgd(solver.sgd());
    case SolverDef::kNesterov:
      return CheckSgd(solver.nesterov());
    case SolverDef::kAdam:
      return CheckAdam(solver.adam());
    case SolverDef::kAdamw:
      return CheckAdam(solver.adamw());
    case SolverDef::kRmsprop:
      TAMER_RETURN_IF_ERROR(CheckRate(solver.rmsprop().learning_rate()));
      TAMER_RETURN_IF_ERROR(Require(InUnit(solver.rmsprop().rho()), "rho",
                                    solver.rmsprop().rho(), "in [0, 1)"));
      return Require(Positive(solver.rmsprop().epsilon()), "epsilon",
                     solver.rmsprop().epsilon(), "above 0");
    case SolverDef::kAdagrad:
      TAMER_RETURN_IF_ERROR(CheckRate(solver.adagrad().learning_rate()));
      return Require(Positive(solver.adagrad().epsilon()), "epsilon",
                     solver.adagrad().epsilon(), "above 0");
    case SolverDef::kCustom:
      if (!solver.custom().has_rule()) {
        return Invalid("solver: custom has no rule; add rule { [op/NAME] {} }");
      }
      return CheckRate(solver.custom().learning_rate());
    case SolverDef::RULE_NOT_SET:
      break;
  }
  return Invalid("the solver has no rule; add solver { nesterov { ",
                 "learning_rate: 0.1 momentum: 0.9 } }");
}

absl::Status AddUpdates(Graph& graph,
                        const std::map<std::string, std::string>& gradients,
                        const SolverDef& solver,
                        const std::map<std::string, int>& depths) {
  TAMER_RETURN_IF_ERROR(CheckSolver(solver));
  std::vector<std::string> scalars = {"learning_rate"};
  const bool momentum = solver.has_nesterov() ||
                        (solver.has_sgd() && solver.sgd().momentum() != 0);
  if (momentum) scalars.push_back("momentum");
  for (const std::string& name : scalars) {
    TAMER_RETURN_IF_ERROR(AddScalarInput(graph, name.c_str()));
  }
  // The last layer's first, as their gradients are made: the first layer's are
  // then in the caches when the next step begins with them.
  const std::vector<ValueId> variables = graph.variables();
  for (auto it = variables.rbegin(); it != variables.rend(); ++it) {
    const ValueId id = *it;
    const auto found = gradients.find(graph.value(id).name);
    if (found == gradients.end()) continue;
    const auto& entry = *found;
    const VariableSpec& spec = graph.variable_spec(id);
    op::UpdateSettings settings;
    const std::string& node = graph.node(graph.value(id).node).name;
    const auto depth = depths.find(node);
    const float multiplier =
        MultiplierOf(solver, node) /
        std::pow(solver.rate_divisor_by_depth(),
                 static_cast<float>(depth == depths.end() ? 0 : depth->second));
    if (multiplier != 1) settings.set_learning_rate_multiplier(multiplier);
    if (solver.weight_decay() > 0 && (spec.decay || solver.decay_biases())) {
      settings.set_weight_decay(solver.weight_decay());
    }
    if (solver.max_norm() > 0 && spec.decay && spec.type.shape.rank() == 2) {
      settings.set_max_norm(solver.max_norm());
    }
    std::vector<std::string> inputs = {entry.first};
    TAMER_RETURN_IF_ERROR(
        AddGradient(graph, entry.second, solver, &settings, &inputs));
    inputs.insert(inputs.end(), scalars.begin(), scalars.end());
    TAMER_ASSIGN_OR_RETURN(const auto update,
                           NewUpdate(solver, settings, graph.registry()));
    TAMER_RETURN_IF_ERROR(
        graph.AddNode(kUpdate + entry.first, *update, inputs).status());
  }
  return absl::OkStatus();
}

}  // namespace tamer
