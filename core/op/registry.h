#ifndef TAMER_CORE_OP_REGISTRY_H_
#define TAMER_CORE_OP_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/op/extension.h"
#include "core/op/op.h"
#include "google/protobuf/any.pb.h"

namespace tamer {

// The ops (and other extensions) that a program knows, built-in and from
// plugins, by name. Filled at start-up; plugins that a recipe names join when
// it is read. What was found stays valid, and nothing is ever taken out. Safe
// to use from many threads.
class OpRegistry {
 public:
  // Takes the op in; an error if its name is taken.
  absl::Status Register(std::unique_ptr<Op> op);
  absl::Status Register(std::unique_ptr<Extension> extension);

  // The op called `name`, or null.
  const Op* Find(const std::string& name) const;
  // The op whose parameter message is of this type, or null.
  const Op* FindBySchema(const google::protobuf::Descriptor& schema) const;
  // All names, sorted.
  std::vector<std::string> Names() const;

  // The extension of that kind and name, or null; and all names of a kind.
  const Extension* FindExtension(const std::string& kind,
                                 const std::string& name) const;
  std::vector<std::string> ExtensionNames(const std::string& kind) const;

  // The extension of that kind inside an Any written `[KIND/NAME] { … }`, and
  // its parameters.
  struct FoundExtension {
    const Extension* extension = nullptr;
    std::unique_ptr<google::protobuf::Message> params;
  };
  absl::StatusOr<FoundExtension> UnpackExtension(
      const google::protobuf::Any& any, const std::string& kind) const;

  // How this program loads a plugin: by its name as a recipe has it and the
  // recipe's folder. Without it plugins are refused.
  using PluginLoader = std::function<absl::Status(
      const std::string& plugin, const std::string& folder, OpRegistry&)>;
  void SetPluginLoader(PluginLoader loader) { loader_ = std::move(loader); }
  // Brings in what `plugin` offers; does nothing if it did before. A cache of
  // what is outside, filled on demand: hence const.
  absl::Status LoadPlugin(const std::string& plugin,
                          const std::string& folder) const;
  // Where a loader found what it loaded, in that order.
  void NotePluginFile(const std::string& path);
  std::vector<std::string> plugin_files() const;

 private:
  mutable std::mutex mutex_;  // guards the maps and files
  std::map<std::string, std::unique_ptr<Op>> ops_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Extension>>
      extensions_;
  std::vector<std::string> plugin_files_;
  PluginLoader loader_;
};

}  // namespace tamer

#endif  // TAMER_CORE_OP_REGISTRY_H_
