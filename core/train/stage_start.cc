#include "core/train/stage_start.h"

#include <cstring>

#include "core/train/files.h"
#include "core/train/load.h"
#include "core/train/product.h"
#include "core/train/quantize.h"

namespace tamer {
namespace {

absl::Status LoadParent(RunState* run, int index, StageMode mode) {
  const StageDef& stage = run->recipe.def.stage(index);
  const ProductInfo& parent = run->parent;
  TAMER_ASSIGN_OR_RETURN(const LoadedProduct product, LoadProduct(parent));
  LoadDef rules;
  if (mode == StageMode::kFirst || mode == StageMode::kAgain) {
    rules = stage.load();
  }
  // Within a run the network is the same: what no stage has learned yet is
  // missing.
  if (!stage.has_load() || mode == StageMode::kContinue) {
    rules.add_allow_missing("*");
  }
  auto report = LoadParameters(run->network, product.tensors, rules,
                               run->variables.get());
  if (!report.ok()) return Annotate(report.status(), parent.path);
  run->observer->Message(absl::StrCat("stage ", stage.name(), ": from ",
                                      parent.manifest.stage(), " (", parent.id,
                                      "), ", report->ToString()));
  if (mode != StageMode::kContinue) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const TensorFile state, LoadState(parent));
  if (state.tensors.empty()) {
    run->observer->Message(
        "its state file is gone: the optimizer begins afresh");
  }
  for (const auto& entry : state.tensors) {
    TAMER_ASSIGN_OR_RETURN(
        const Tensor own,
        run->variables->Add(entry.first,
                            {entry.second.dtype, entry.second.shape}));
    std::memcpy(own.data, entry.second.data, own.bytes());
  }
  *run->progress.mutable_done() = parent.manifest.done();
  return absl::OkStatus();
}

absl::StatusOr<ProductInfo> FindAnyParent(const RunState& run, int index,
                                          StageMode mode) {
  const StageDef& stage = run.recipe.def.stage(index);
  if (mode == StageMode::kContinue) {
    return NewestProduct(run.path, stage.name());
  }
  if (stage.has_load()) {
    return FindProductOrRun(JoinPath(run.recipe.folder, stage.load().product()),
                            run.registry);
  }
  TAMER_ASSIGN_OR_RETURN(const int parent, ParentStage(run.recipe.def, index));
  if (parent < 0) return ProductInfo();
  return NewestProduct(run.path, run.recipe.def.stage(parent).name());
}

}  // namespace

absl::StatusOr<ProductInfo> FindParent(const RunState& run, int index,
                                       StageMode mode) {
  TAMER_ASSIGN_OR_RETURN(ProductInfo parent, FindAnyParent(run, index, mode));
  if (!IsQuantized(parent.manifest)) return parent;
  return absl::FailedPreconditionError(absl::StrCat(
      parent.path,
      " predicts in 8-bit integers and cannot be trained further; ",
      "start from the product that it was exported from: ",
      parent.manifest.parent_id()));
}

absl::Status StartStage(RunState* run, int index, StageMode mode,
                        const TrainingData& data) {
  const StageDef& stage = run->recipe.def.stage(index);
  run->variables = std::make_unique<Variables>();
  run->progress = ProgressDef();
  run->progress.set_stage(index);
  run->progress.set_continuing(mode == StageMode::kContinue);
  const auto newest = NewestProduct(run->path, stage.name());
  if (newest.ok()) {
    run->progress.set_generation(newest->manifest.generation() + 1);
  }
  TAMER_ASSIGN_OR_RETURN(run->parent, FindParent(*run, index, mode));
  if (run->parent.id.empty()) {
    run->observer->Message(
        absl::StrCat("stage ", stage.name(), ": from initial values"));
  } else {
    TAMER_RETURN_IF_ERROR(LoadParent(run, index, mode));
  }
  for (ValueId id : run->network.variables()) {
    const std::string& name = run->network.value(id).name;
    if (run->variables->Find(name) == nullptr) run->progress.add_fresh(name);
  }
  TAMER_RETURN_IF_ERROR(
      run->variables->AddMissing(run->network, run->recipe.def.seed()));
  const int layers = stage.has_pretrain() ? stage.pretrain().layer_size() : 1;
  while (run->progress.done_size() < layers) run->progress.add_done();
  run->BeginLayer(0);
  run->progress.set_metrics_bytes(run->log->bytes());
  return run->Save(stage, data);
}

}  // namespace tamer
