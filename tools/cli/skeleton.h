#ifndef TAMER_TOOLS_CLI_SKELETON_H_
#define TAMER_TOOLS_CLI_SKELETON_H_

#include <string>
#include <vector>

namespace tamer {

// A file of plugins/skeleton, in the binary. In its name NAME, in its text
// @NAME@ and @FILE@ are to be replaced.
struct SkeletonFile {
  std::string name;
  std::string text;
};
std::vector<SkeletonFile> Skeleton();

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_SKELETON_H_
