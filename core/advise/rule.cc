#include "core/advise/rule.h"

#include "absl/strings/str_format.h"

namespace tamer {

Advice& Findings::InRecipe(const std::string& at, const std::string& path,
                           const std::string& says, const std::string& mend) {
  advice_.push_back(
      {rule_,
       rule_.severity,
       at,
       recipe_ == nullptr ? SourceLocation() : recipe_->Locate(path),
       says,
       mend,
       {}});
  return advice_.back();
}

Advice& Findings::InNetwork(const Node& node, const std::string& says,
                            const std::string& mend) {
  advice_.push_back(
      {rule_, rule_.severity, node.name, node.location, says, mend, {}});
  return advice_.back();
}

bool Findings::Editable(const Node& node) const {
  return node.location.line > 0 &&
         node.location.file == subject_.network_file &&
         node.name.find('/') == std::string::npos;
}

std::vector<Edit> Findings::SetParameter(const Node& node,
                                         const std::string& parameter,
                                         const std::string& value) const {
  if (!Editable(node)) return {};
  return {{Edit::kNetwork, Edit::kSet,
           absl::StrCat("node.", node.name, ".op.", parameter), value}};
}

std::vector<Edit> Findings::RemoveParameter(
    const Node& node, const std::string& parameter) const {
  if (!Editable(node)) return {};
  return {{Edit::kNetwork, Edit::kRemove,
           absl::StrCat("node.", node.name, ".op.", parameter), ""}};
}

std::vector<Edit> SetField(const std::string& path, const std::string& text) {
  return {{Edit::kRecipe, Edit::kSet, path, text}};
}

std::string Number(double value) { return absl::StrFormat("%.3g", value); }

std::string Percent(double share) {
  return absl::StrFormat("%.3g %%", 100 * share);
}

}  // namespace tamer
