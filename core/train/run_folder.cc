#include "core/train/run_folder.h"

#include <thread>

#include "core/base/version.h"
#include "core/graph/text.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/checkpoint.pb.h"

namespace tamer {
namespace {

absl::Status CheckSameRun(const std::string& path, const std::string& run_file,
                          const Recipe& recipe, const Graph& network) {
  using google::protobuf::util::MessageDifferencer;
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(run_file));
  RunDef before;
  TAMER_RETURN_IF_ERROR(ParseText(text, run_file, network.registry(), &before));
  if (MessageDifferencer::Equals(WithoutMachine(before.recipe()),
                                 WithoutMachine(recipe.def)) &&
      MessageDifferencer::Equals(before.graph(), network.ToDef())) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, " holds a run of another recipe or network, or of this one ",
      "before it was changed; choose another folder by --run, or --new"));
}

}  // namespace

RecipeDef WithoutMachine(RecipeDef def) {
  def.clear_threads();
  def.clear_checkpoint_every_seconds();
  return def;
}

std::string ProductPath(const std::string& run, const std::string& stage) {
  return JoinPath(run, stage + ".product");
}

absl::StatusOr<FolderLock> OpenRunFolder(const std::string& path,
                                         const Recipe& recipe,
                                         const Graph& network) {
  TAMER_RETURN_IF_ERROR(MakeFolder(path));
  TAMER_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Take(path));
  const std::string run_file = JoinPath(path, "run.pbtxt");
  if (Exists(run_file)) {
    TAMER_RETURN_IF_ERROR(CheckSameRun(path, run_file, recipe, network));
    return lock;
  }
  RunDef run;
  *run.mutable_recipe() = recipe.def;
  run.set_recipe_file(recipe.file);
  run.set_folder(recipe.folder);
  run.set_tamer_version(kVersion);
  *run.mutable_graph() = network.ToDef();
  run.set_machine(absl::StrCat(std::thread::hardware_concurrency(), " cores"));
  TAMER_RETURN_IF_ERROR(
      ReplaceFile(run_file, PrintText(run, network.registry())));
  return lock;
}

}  // namespace tamer
