#ifndef TAMER_PLUGINS_HOST_PLUGINS_H_
#define TAMER_PLUGINS_HOST_PLUGINS_H_

#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/op/registry.h"
#include "plugins/host/library.h"

namespace tamer {

// What a plugin offers, by name.
struct PluginContents {
  Library library;
  std::vector<std::string> ops, losses, metrics, updates, readers, collectives;
};

// The plugins of a program. A program that wants them makes one and says
//   registry.SetPluginLoader(…) by Serve(registry).
// Safe to use from many threads.
class Plugins {
 public:
  // `search` is where names without a slash are looked for: folders with ':'
  // between, as in the environment variable TAMER_PLUGIN_PATH. Then they are
  // looked for in `own`, where the program's own stand.
  explicit Plugins(const std::string& search,
                   std::vector<std::string> own = {});

  // Makes `registry` load plugins through this object, which must outlive it.
  void Serve(OpRegistry& registry);

  // Loads a plugin and registers all it offers, or nothing if any of it is
  // refused; the error is one line that names file, op and rule. `name` with a
  // slash is a path, relative to `folder`; one without is looked for in the
  // search folders, never in the current one. A library loaded before is
  // skipped.
  absl::Status Load(const std::string& name, const std::string& folder,
                    OpRegistry& registry);

  // Those loaded so far.
  std::vector<PluginContents> loaded() const;
  // Libraries in the search folders, sorted.
  std::vector<std::string> Available() const;

 private:
  absl::StatusOr<std::string> Find(const std::string& name,
                                   const std::string& folder) const;

  std::vector<std::string> search_, own_;
  mutable std::mutex mutex_;
  std::set<std::pair<uint64_t, uint64_t>> files_;  // device, inode
  std::deque<PluginContents> loaded_;
};

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_PLUGINS_H_
