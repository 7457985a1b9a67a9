#include "plugins/host/plugins.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "plugins/host/extension_adapter.h"
#include "plugins/host/op_adapter.h"
#include "plugins/host/tables.h"

namespace tamer {
namespace {

bool IsFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

template <typename Table>
std::string NameOf(const Table* table, size_t index) {
  const Table taken = Take(table);
  return taken.name == nullptr ? absl::StrCat("number ", index) : taken.name;
}

// Everything that a library offers, made before any of it is registered.
class Offer {
 public:
  Offer(const Library& library, const OpRegistry& registry)
      : library_(library), registry_(registry) {
    contents_.library = library;
  }

  absl::Status Collect();
  absl::Status RegisterAll(OpRegistry& registry);
  const PluginContents& contents() const { return contents_; }

 private:
  // Calls make(table) on each table of a capability; `kind` is for messages.
  template <typename Table, typename MakeOne>
  absl::Status Each(const char* capability, const char* kind,
                    std::vector<std::string>* names, const MakeOne& make);
  absl::Status CheckFree(const std::string& name);

  const Library& library_;
  const OpRegistry& registry_;
  PluginContents contents_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<std::unique_ptr<Extension>> extensions_;
  std::set<std::string> names_;
};

absl::Status Offer::CheckFree(const std::string& name) {
  if (!names_.insert(name).second) {
    return Invalid("the plugin has this name twice");
  }
  if (registry_.Find(name) != nullptr) {
    return Invalid("the name \"", name, "\" is taken by a built-in op or ",
                   "another plugin's");
  }
  return absl::OkStatus();
}

template <typename Table, typename MakeOne>
absl::Status Offer::Each(const char* capability, const char* kind,
                         std::vector<std::string>* names, const MakeOne& make) {
  TAMER_ASSIGN_OR_RETURN(const auto tables, library_.Tables(capability));
  for (size_t i = 0; i < tables.size(); ++i) {
    const auto* table = static_cast<const Table*>(tables[i]);
    const std::string name = NameOf(table, i);
    const absl::Status status = make(table);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat("plugin ", library_.file, ", ", kind,
                                           " ", name));
    }
    names->push_back(name);
  }
  return absl::OkStatus();
}

absl::Status Offer::Collect() {
  const std::string& file = library_.file;
  const auto keep = [&](absl::StatusOr<std::unique_ptr<Op>> op) {
    if (!op.ok()) return op.status();
    TAMER_RETURN_IF_ERROR(CheckFree((*op)->name()));
    ops_.push_back(*std::move(op));
    return absl::OkStatus();
  };
  const auto extend = [&](absl::StatusOr<std::unique_ptr<Extension>> made) {
    if (!made.ok()) return made.status();
    const Extension& extension = **made;
    if (!names_.insert(extension.kind() + "/" + extension.name()).second) {
      return Invalid("the plugin has this name twice");
    }
    if (registry_.FindExtension(extension.kind(), extension.name())) {
      return Invalid("the name \"", extension.name(),
                     "\" is taken by another plugin's");
    }
    extensions_.push_back(*std::move(made));
    return absl::OkStatus();
  };
  TAMER_RETURN_IF_ERROR(Each<TamerOp>(
      TAMER_CAPABILITY_OPS, "op", &contents_.ops, [&](const TamerOp* table) {
        auto made = MakeOps(file, table, &registry_);
        if (!made.ok()) return made.status();
        for (auto& op : *made) TAMER_RETURN_IF_ERROR(keep(std::move(op)));
        return absl::OkStatus();
      }));
  for (const bool metric : {false, true}) {
    TAMER_RETURN_IF_ERROR(Each<TamerLoss>(
        metric ? TAMER_CAPABILITY_METRICS : TAMER_CAPABILITY_LOSSES,
        metric ? "metric" : "loss",
        metric ? &contents_.metrics : &contents_.losses,
        [&](const TamerLoss* table) {
          return keep(MakeLoss(file, table, metric));
        }));
  }
  TAMER_RETURN_IF_ERROR(Each<TamerUpdateRule>(
      TAMER_CAPABILITY_UPDATES, "update rule", &contents_.updates,
      [&](const TamerUpdateRule* table) {
        return keep(MakeUpdateRule(file, table));
      }));
  TAMER_RETURN_IF_ERROR(
      Each<TamerReader>(TAMER_CAPABILITY_READERS, "reader", &contents_.readers,
                        [&](const TamerReader* table) {
                          return extend(MakeReader(file, table));
                        }));
  TAMER_RETURN_IF_ERROR(Each<TamerCollective>(
      TAMER_CAPABILITY_COLLECTIVES, "collective", &contents_.collectives,
      [&](const TamerCollective* table) {
        return extend(MakeCollective(file, table));
      }));
  if (names_.empty()) {
    return Invalid("plugin ", file,
                   ": it offers nothing that this Tamer knows");
  }
  return absl::OkStatus();
}

absl::Status Offer::RegisterAll(OpRegistry& registry) {
  for (auto& op : ops_) {
    TAMER_RETURN_IF_ERROR(registry.Register(std::move(op)));
  }
  for (auto& extension : extensions_) {
    TAMER_RETURN_IF_ERROR(registry.Register(std::move(extension)));
  }
  return absl::OkStatus();
}

}  // namespace

Plugins::Plugins(const std::string& search, std::vector<std::string> own)
    : own_(std::move(own)) {
  for (absl::string_view folder :
       absl::StrSplit(search, ':', absl::SkipEmpty())) {
    search_.emplace_back(folder);
  }
}

void Plugins::Serve(OpRegistry& registry) {
  registry.SetPluginLoader(
      [this](const std::string& plugin, const std::string& folder,
             OpRegistry& into) { return Load(plugin, folder, into); });
}

absl::StatusOr<std::string> Plugins::Find(const std::string& name,
                                          const std::string& folder) const {
  if (name.empty()) return Invalid("a plugin without a name");
  if (absl::StrContains(name, '/')) {
    return name[0] == '/' || folder.empty() ? name
                                            : absl::StrCat(folder, "/", name);
  }
  for (const std::string& place : search_) {
    const std::string path = absl::StrCat(place, "/", name);
    if (IsFile(path)) return path;
  }
  for (const std::string& place : own_) {
    const std::string path = absl::StrCat(place, "/", name);
    if (IsFile(path)) return path;
  }
  return absl::NotFoundError(absl::StrCat(
      "plugin ", name, ": not found in TAMER_PLUGIN_PATH (",
      search_.empty() ? "which is not set" : absl::StrJoin(search_, ":"),
      "); write \"./", name, "\" if it stands beside the recipe"));
}

absl::Status Plugins::Load(const std::string& name, const std::string& folder,
                           OpRegistry& registry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  TAMER_ASSIGN_OR_RETURN(const std::string path, Find(name, folder));
  struct stat info;
  std::pair<uint64_t, uint64_t> file = {0, 0};
  if (stat(path.c_str(), &info) == 0) file = {info.st_dev, info.st_ino};
  if (files_.count(file) > 0) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const Library library, LoadLibrary(path));
  Offer offer(library, registry);
  TAMER_RETURN_IF_ERROR(offer.Collect());
  TAMER_RETURN_IF_ERROR(offer.RegisterAll(registry));
  registry.NotePluginFile(path);
  files_.insert(file);
  loaded_.push_back(offer.contents());
  return absl::OkStatus();
}

std::vector<PluginContents> Plugins::loaded() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {loaded_.begin(), loaded_.end()};
}

std::vector<std::string> Plugins::Available() const {
  std::vector<std::string> found;
  for (const std::string& folder : search_) {
    DIR* open = opendir(folder.c_str());
    if (open == nullptr) continue;
    while (const dirent* entry = readdir(open)) {
      if (absl::EndsWith(entry->d_name, ".so")) {
        found.push_back(absl::StrCat(folder, "/", entry->d_name));
      }
    }
    closedir(open);
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace tamer
