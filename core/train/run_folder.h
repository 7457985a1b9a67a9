#ifndef TAMER_CORE_TRAIN_RUN_FOLDER_H_
#define TAMER_CORE_TRAIN_RUN_FOLDER_H_

#include <string>

#include "core/train/files.h"
#include "core/train/recipe.h"

namespace tamer {

// Makes the run directory, or opens it, for this process alone. A new one gets
// run.pbtxt (RunDef); one of another recipe or network is refused. With a
// `changed_stage` (else -1) the run must be there, and that stage, the data and
// the minibatch may be others than it began with.
absl::StatusOr<FolderLock> OpenRunFolder(const std::string& path,
                                         const Recipe& recipe,
                                         const Graph& network,
                                         int changed_stage);

// A recipe without what may differ between a run and its continuation, as on
// another machine.
RecipeDef WithoutMachine(RecipeDef def);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_RUN_FOLDER_H_
