#include "core/op/registry.h"

#include "absl/strings/match.h"
#include "core/base/suggest.h"

namespace tamer {

absl::Status OpRegistry::Register(std::unique_ptr<Op> op) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::string name = op->name();
  if (!ops_.emplace(name, std::move(op)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("an op called \"", name, "\" is registered already"));
  }
  return absl::OkStatus();
}

absl::Status OpRegistry::Register(std::unique_ptr<Extension> extension) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::pair<std::string, std::string> key = {extension->kind(),
                                                   extension->name()};
  if (!extensions_.emplace(key, std::move(extension)).second) {
    return absl::AlreadyExistsError(absl::StrCat(
        "a ", key.first, " called \"", key.second, "\" is registered already"));
  }
  return absl::OkStatus();
}

const Op* OpRegistry::Find(const std::string& name) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = ops_.find(name);
  return it == ops_.end() ? nullptr : it->second.get();
}

const Op* OpRegistry::FindBySchema(
    const google::protobuf::Descriptor& schema) const {
  const Op* op = Find(schema.name());
  return op != nullptr && &op->schema() == &schema ? op : nullptr;
}

std::vector<std::string> OpRegistry::Names() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> names;
  for (const auto& entry : ops_) names.push_back(entry.first);
  return names;
}

const Extension* OpRegistry::FindExtension(const std::string& kind,
                                           const std::string& name) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = extensions_.find({kind, name});
  return it == extensions_.end() ? nullptr : it->second.get();
}

std::vector<std::string> OpRegistry::ExtensionNames(
    const std::string& kind) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> names;
  for (const auto& entry : extensions_) {
    if (entry.first.first == kind) names.push_back(entry.first.second);
  }
  return names;
}

absl::StatusOr<OpRegistry::FoundExtension> OpRegistry::UnpackExtension(
    const google::protobuf::Any& any, const std::string& kind) const {
  const std::string prefix = kind + "/";
  const std::string& url = any.type_url();
  if (!absl::StartsWith(url, prefix)) {
    return Invalid(url.empty() ? "nothing" : absl::StrCat("\"", url, "\""),
                   " is not a ", kind, "; write [", kind, "/NAME] {}");
  }
  const std::string name = url.substr(prefix.size());
  FoundExtension found;
  found.extension = FindExtension(kind, name);
  if (found.extension == nullptr) {
    return Invalid("unknown ", kind, " \"", name, "\"",
                   DidYouMean(name, ExtensionNames(kind)),
                   "; name the plugin that has it by plugin: \"./FILE.so\"");
  }
  found.params = found.extension->NewParams();
  if (!found.params->ParseFromString(any.value())) {
    return Invalid(name, ": its parameters are damaged");
  }
  return found;
}

absl::Status OpRegistry::LoadPlugin(const std::string& plugin,
                                    const std::string& folder) const {
  if (loader_ == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("plugin \"", plugin, "\": this program loads no plugins"));
  }
  return loader_(plugin, folder, const_cast<OpRegistry&>(*this));
}

void OpRegistry::NotePluginFile(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  plugin_files_.push_back(path);
}

std::vector<std::string> OpRegistry::plugin_files() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return plugin_files_;
}

}  // namespace tamer
