#ifndef TAMER_TOOLS_CLI_SKELETON_H_
#define TAMER_TOOLS_CLI_SKELETON_H_

#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace tamer {

// A file in the binary, of plugins/skeleton or tools/project. In its name NAME,
// in its text @NAME@ and the like are to be replaced.
struct SkeletonFile {
  std::string name;
  std::string text;
};
std::vector<SkeletonFile> Skeleton();
std::vector<SkeletonFile> Project();

// Writes the files to `folder`, a new one, with each first text replaced by its
// second; scripts (.sh) can be run.
using Replacements = std::vector<std::pair<std::string, std::string>>;
absl::Status WriteSkeleton(const std::string& folder,
                           const std::vector<SkeletonFile>& files,
                           const Replacements& replacements);
// The same in a folder that is there.
absl::Status WriteFiles(const std::string& folder,
                        const std::vector<SkeletonFile>& files,
                        const Replacements& replacements);
// One file, which must not be there.
absl::Status WriteNew(const std::string& path, const std::string& text);

// An op's name in small letters: "MaxOut" is max_out.
std::string SnakeCase(const std::string& name);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_SKELETON_H_
