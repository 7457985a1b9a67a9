#include "core/train/load.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"

namespace tamer {
namespace {

std::string Renamed(const std::string& name, const LoadDef& load) {
  for (const RenameDef& rule : load.rename()) {
    if (absl::StartsWith(name, rule.from())) {
      return rule.to() + name.substr(rule.from().size());
    }
  }
  return name;
}

template <typename Names>
bool Allowed(const std::string& name, const Names& allowed) {
  for (const std::string& one : allowed) {
    if (one == "*" || Covers(one, name)) return true;
  }
  return false;
}

// An error of those in `names` that `allowed` doesn't cover.
template <typename Names>
std::string Forbidden(const std::vector<std::string>& names,
                      const Names& allowed, const char* what,
                      const char* field) {
  std::vector<std::string> forbidden;
  for (const std::string& name : names) {
    if (!Allowed(name, allowed)) forbidden.push_back(name);
  }
  if (forbidden.empty()) return "";
  return absl::StrCat(what, ": ", absl::StrJoin(forbidden, ", "),
                      "; if that is meant, add load { ", field, ": \"",
                      forbidden[0].substr(0, forbidden[0].find('/')), "\" }");
}

bool BelongsToNode(const Graph& network, const std::string& variable) {
  const size_t slash = variable.find_last_of('/');
  return slash != std::string::npos &&
         network.FindNode(variable.substr(0, slash)) >= 0;
}

}  // namespace

std::string LoadReport::ToString() const {
  std::string text = absl::StrCat(loaded.size(), " parameters loaded");
  const auto add = [&](const char* what,
                       const std::vector<std::string>& names) {
    if (!names.empty()) {
      absl::StrAppend(&text, "; ", what, ": ", absl::StrJoin(names, ", "));
    }
  };
  add("missing, so from initial values", missing);
  add("unexpected, so left out", unexpected);
  add("of another shape, so from initial values", mismatched);
  return text;
}

absl::StatusOr<LoadReport> LoadParameters(
    const Graph& network, const std::map<std::string, Tensor>& tensors,
    const LoadDef& load, Variables* variables) {
  LoadReport report;
  std::map<std::string, const Tensor*> found, wanted;
  for (const auto& entry : tensors) {
    const std::string name = Renamed(entry.first, load);
    if (!found.emplace(name, &entry.second).second) {
      return Invalid("load: two parameters of the product become \"", name,
                     "\" by the rename rules");
    }
  }
  for (ValueId id : network.variables()) {
    const Value& value = network.value(id);
    const auto it = found.find(value.name);
    if (it == found.end()) {
      report.missing.push_back(value.name);
      continue;
    }
    const TensorType seen{it->second->dtype, it->second->shape};
    if (seen == value.type) {
      wanted[value.name] = it->second;
      report.loaded.push_back(value.name);
    } else {
      report.mismatched.push_back(
          absl::StrCat(value.name, ": the network's is ", value.type.ToString(),
                       ", the product's ", seen.ToString()));
    }
    found.erase(it);
  }
  for (const auto& entry : found) {
    if (IsPretrained(entry.first) && BelongsToNode(network, entry.first)) {
      wanted[entry.first] = entry.second;
    } else {
      report.unexpected.push_back(entry.first);
    }
  }
  std::vector<std::string> faults = {
      Forbidden(report.missing, load.allow_missing(),
                "missing from the product", "allow_missing"),
      Forbidden(report.unexpected, load.allow_unexpected(),
                "in the product, but not in the network", "allow_unexpected"),
      Forbidden(report.mismatched, load.allow_mismatched(), "of another shape",
                "allow_mismatched")};
  faults.erase(std::remove(faults.begin(), faults.end(), ""), faults.end());
  if (!faults.empty()) {
    return absl::FailedPreconditionError(absl::StrJoin(faults, "\n"));
  }
  for (const auto& entry : wanted) {
    TAMER_ASSIGN_OR_RETURN(const Tensor own,
                           variables->Add(entry.first, {entry.second->dtype,
                                                        entry.second->shape}));
    std::memcpy(own.data, entry.second->data, own.bytes());
  }
  return report;
}

}  // namespace tamer
