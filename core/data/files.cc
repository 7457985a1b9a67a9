#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "core/data/readers.h"

namespace tamer {
namespace {
constexpr int64_t kMostBytes = int64_t{1} << 34;

// Names of the folders in `path`, or else of the files.
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

}  // namespace

absl::StatusOr<std::string> ReadBytes(const std::string& path) {
  TAMER_RETURN_IF_ERROR(CheckFile(path));
  std::ifstream in(path, std::ios::binary);
  if (!in) return CannotOpen(path);
  in.seekg(0, std::ios::end);
  const int64_t size = in.tellg();
  in.seekg(0);
  if (size > kMostBytes) {
    return Invalid(path, ": larger than ", kMostBytes >> 30, " GiB");
  }
  std::string text(size, '\0');
  in.read(&text[0], size);
  if (!in) return Invalid(path, ": cannot be read whole");
  return text;
}

absl::StatusOr<ClassFiles> ListClasses(const std::string& folder) {
  ClassFiles found;
  TAMER_ASSIGN_OR_RETURN(found.classes, SortedNames(folder, true));
  std::vector<std::string> folders = {folder};
  if (!found.classes.empty()) {
    folders.clear();
    for (const std::string& name : found.classes) {
      folders.push_back(InFolder(folder, name));
    }
  }
  for (const std::string& path : folders) {
    TAMER_ASSIGN_OR_RETURN(auto names, SortedNames(path, false));
    for (std::string& name : names) name = InFolder(path, name);
    found.paths.push_back(std::move(names));
  }
  return found;
}

std::vector<ClassItem> ByTurns(
    const std::vector<std::vector<std::string>>& items) {
  size_t most = 0;
  for (const auto& own : items) most = std::max(most, own.size());
  std::vector<ClassItem> turns;
  for (size_t i = 0; i < most; ++i) {
    for (size_t label = 0; label < items.size(); ++label) {
      if (i < items[label].size()) {
        turns.push_back({static_cast<int32_t>(label), &items[label][i]});
      }
    }
  }
  return turns;
}

}  // namespace tamer
