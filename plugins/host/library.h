#ifndef TAMER_PLUGINS_HOST_LIBRARY_H_
#define TAMER_PLUGINS_HOST_LIBRARY_H_

#include <string>
#include <vector>

#include "core/base/status.h"
#include "plugins/tamer_plugin.h"

namespace tamer {

// A shared library that passed all checks of loading: an ELF library of this
// machine's kind, its entry there, its interface one that this host can serve.
// It stays loaded until the process ends.
struct Library {
  std::string path;
  std::string file;  // the path's last part: what messages call it
  TamerPlugin plugin;

  // The tables of one capability; empty if the plugin hasn't got it.
  absl::StatusOr<std::vector<const void*>> Tables(const char* capability) const;
};

// Loads the library at `path`. It is first loaded in a child process: one that
// crashes while loading is an error here, not the end of the host. The error is
// one line that begins with "plugin FILE: ".
absl::StatusOr<Library> LoadLibrary(const std::string& path);

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_LIBRARY_H_
