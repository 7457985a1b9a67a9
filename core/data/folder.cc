#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/data/readers.h"

namespace tamer {

absl::StatusOr<std::vector<std::string>> SortedNames(const std::string& path,
                                                    bool folders) {
  if (path.empty()) return Invalid("data: a folder's name is missing");
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return CannotOpen(path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    struct stat info;
    const std::string name = path + "/" + entry->d_name;
    if (stat(name.c_str(), &info) != 0) continue;
    if (folders ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode)) {
      names.push_back(entry->d_name);
    }
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tamer
