#include "core/train/run_folder.h"

#include <thread>

#include "core/base/version.h"
#include "core/graph/text.h"
#include "core/train/checkpoint.h"
#include "proto/checkpoint.pb.h"

namespace tamer {
namespace {

// What a stage that is continued or repeated may have of its own.
RecipeDef WithoutStage(RecipeDef def, int stage) {
  if (stage < 0 || stage >= def.stage_size()) return def;
  def.clear_data();
  def.clear_batch_size();
  const std::string name = def.stage(stage).name();
  def.mutable_stage(stage)->Clear();
  def.mutable_stage(stage)->set_name(name);
  return def;
}

absl::Status CheckSameRun(const std::string& path, const std::string& run_file,
                          const Recipe& recipe, const Graph& network,
                          int changed_stage) {
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(run_file));
  RunDef before;
  TAMER_RETURN_IF_ERROR(ParseText(text, run_file, network.registry(), &before));
  const auto comparable = [&](const RecipeDef& def) {
    return WithoutStage(WithoutMachine(def), changed_stage);
  };
  if (SameMessage(comparable(before.recipe()), comparable(recipe.def)) &&
      SameMessage(before.graph(), network.ToDef())) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, " holds a run of another recipe or network, or of this one ",
      "before it was changed; choose another folder by --run, or --new",
      changed_stage < 0 ? "; or go on with a stage of it on other data by "
                          "--continue-stage"
                        : ""));
}

}  // namespace

RecipeDef WithoutMachine(RecipeDef def) {
  def.clear_threads();
  def.clear_checkpoint_every_seconds();
  def.clear_checkpoint_every_steps();
  def.clear_keep_checkpoints();
  def.clear_histograms();
  if (def.has_parallel()) {
    def.mutable_parallel()->clear_workers();
    def.mutable_parallel()->clear_transport();
    def.mutable_parallel()->clear_collective();
  }
  return def;
}

absl::StatusOr<FolderLock> OpenRunFolder(const std::string& path,
                                         const Recipe& recipe,
                                         const Graph& network,
                                         int changed_stage) {
  const std::string run_file = JoinPath(path, "run.pbtxt");
  if (changed_stage >= 0 && !Exists(run_file)) {
    return absl::NotFoundError(
        absl::StrCat(path, " is no run directory: it has no run.pbtxt"));
  }
  TAMER_RETURN_IF_ERROR(MakeFolder(path));
  TAMER_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Take(path));
  if (Exists(run_file)) {
    TAMER_RETURN_IF_ERROR(
        CheckSameRun(path, run_file, recipe, network, changed_stage));
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
