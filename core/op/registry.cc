#include "core/op/registry.h"

namespace tamer {

absl::Status OpRegistry::Register(std::unique_ptr<Op> op) {
  const std::string name = op->name();
  if (!ops_.emplace(name, std::move(op)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("an op called \"", name, "\" is registered already"));
  }
  return absl::OkStatus();
}

const Op* OpRegistry::Find(const std::string& name) const {
  const auto it = ops_.find(name);
  return it == ops_.end() ? nullptr : it->second.get();
}

const Op* OpRegistry::FindBySchema(
    const google::protobuf::Descriptor& schema) const {
  const Op* op = Find(schema.name());
  return op != nullptr && &op->schema() == &schema ? op : nullptr;
}

std::vector<std::string> OpRegistry::Names() const {
  std::vector<std::string> names;
  for (const auto& entry : ops_) names.push_back(entry.first);
  return names;
}

}  // namespace tamer
