#include "core/train/trainer.h"

#include <chrono>
#include <cstring>
#include <map>

#include "absl/strings/match.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/parallel/share.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "core/train/executor.h"
#include "core/train/finetuning.h"
#include "core/train/load.h"
#include "core/train/run_folder.h"
#include "core/train/stage_run.h"
#include "core/train/stage_start.h"
#include "core/train/workers.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

// A worker's run; with a group the first worker alone reads and writes the run
// directory, and tells the others what they need.
class Run {
 public:
  Run(const Recipe& recipe, const OpRegistry& registry,
      const TrainOptions& options, Observer* observer, DataCache* data,
      Collective* group)
      : run_(recipe, registry, options.run, observer),
        options_(options),
        data_(*data) {
    run_.group = group;
  }

  absl::StatusOr<TrainResult> Execute();

 private:
  const StageDef& stage(int index) const {
    return run_.recipe.def.stage(index);
  }

  // Before anything runs.
  absl::Status ChooseStage();
  absl::Status Open();
  absl::Status OpenFolder();
  absl::Status CheckStage(int index);
  absl::Status OpenLog();
  absl::Status Resume(const Checkpoint& checkpoint);
  absl::StatusOr<const TrainingData*> DataOf(int index);

  // What RunStage finds on disk.
  enum class Entry { kFinished, kResumed, kBegun };
  absl::StatusOr<Entry> Enter(int index, StageMode mode,
                              const TrainingData& data);
  absl::StatusOr<Entry> Share(absl::StatusOr<Entry> entry);
  absl::StatusOr<bool> RunStage(int index, StageMode mode);

  RunState run_;
  const TrainOptions& options_;
  int only_stage_ = -1;  // of continue_stage or again_stage
  StageMode only_mode_ = StageMode::kFirst;
  std::unique_ptr<FolderLock> lock_;
  DataCache& data_;
  bool resuming_ = false;
};

absl::Status Run::ChooseStage() {
  const bool continues = !options_.continue_stage.empty();
  const std::string& name =
      continues ? options_.continue_stage : options_.again_stage;
  if (name.empty()) return absl::OkStatus();
  only_mode_ = continues ? StageMode::kContinue : StageMode::kAgain;
  std::vector<std::string> names;
  for (int i = 0; i < run_.recipe.def.stage_size(); ++i) {
    if (stage(i).name() == name) only_stage_ = i;
    names.push_back(stage(i).name());
  }
  if (only_stage_ >= 0) return absl::OkStatus();
  return Invalid(run_.recipe.file, ": there is no stage \"", name, "\"",
                 DidYouMean(name, names));
}

absl::StatusOr<const TrainingData*> Run::DataOf(int index) {
  return data_.Get(run_.recipe, stage(index), &run_.network.registry());
}

// Makes a stage's graphs once, so that a fault of the last stage is told before
// the first begins, and before anything is written.
absl::Status Run::CheckStage(int index) {
  const StageDef& stage = this->stage(index);
  TAMER_ASSIGN_OR_RETURN(const TrainingData* data, DataOf(index));
  const auto check = [&]() -> absl::Status {
    if (stage.finetune().has_adapters()) {
      TAMER_ASSIGN_OR_RETURN(const int parent,
                             ParentStage(run_.recipe.def, index));
      if (parent < 0 && !stage.has_load()) {
        return Invalid("adapters need a product to adapt; add from or load");
      }
      if (only_mode_ == StageMode::kContinue) {
        return Invalid("adapters cannot be gone on with; repeat the stage by ",
                       "--again-stage, or add another stage after it");
      }
    }
    if (stage.has_load() && only_mode_ != StageMode::kContinue) {
      TAMER_ASSIGN_OR_RETURN(const ProductInfo parent,
                             FindParent(run_, index, StageMode::kFirst));
      TAMER_ASSIGN_OR_RETURN(const LoadedProduct product, LoadProduct(parent));
      Variables scratch;
      TAMER_RETURN_IF_ERROR(
          LoadParameters(run_.network, product.tensors, stage.load(), &scratch)
              .status());
    }
    const StepOptions step = StepOptionsOf(run_.recipe.def, stage);
    if (step.recompute.has_value()) {
      for (const std::string& name : step.recompute->node()) {
        TAMER_RETURN_IF_ERROR(
            CheckCoversSome(run_.network, name, "recompute: node"));
      }
    }
    if (stage.has_finetune()) {
      TAMER_ASSIGN_OR_RETURN(
          const FinetuneSetup setup,
          SetUpFinetuning(run_.network, stage, data->mixes(), {}));
      return CheckFits(setup.graphs[0].second, *data->train);
    }
    for (const PretrainLayer& layer : stage.pretrain().layer()) {
      TAMER_ASSIGN_OR_RETURN(
          const Graph graph,
          tamer::Pretrain(
              run_.network, Resolved(layer, *data),
              layer.has_solver() ? layer.solver() : stage.solver()));
      TAMER_RETURN_IF_ERROR(CheckFits(graph, *data->train));
    }
    return absl::OkStatus();
  };
  return Annotate(check(), absl::StrCat(run_.recipe.file, ": stage \"",
                                        stage.name(), "\""));
}

absl::Status Run::Open() {
  TAMER_RETURN_IF_ERROR(ChooseStage());
  TAMER_ASSIGN_OR_RETURN(
      run_.network,
      LoadGraph(JoinPath(run_.recipe.folder, run_.recipe.def.graph_file()),
                &run_.registry));
  run_.scheduler = std::make_unique<Scheduler>(WorkerThreads(run_));
  for (int i = 0; i < run_.recipe.def.stage_size(); ++i) {
    if (only_stage_ >= 0 && i != only_stage_) continue;
    TAMER_RETURN_IF_ERROR(CheckStage(i));
  }
  TAMER_RETURN_IF_ERROR(CheckSameWork(run_));
  return ShareStatus(run_.group,
                     run_.leads() ? OpenFolder() : absl::OkStatus());
}

absl::Status Run::OpenFolder() {
  TAMER_ASSIGN_OR_RETURN(
      FolderLock lock,
      OpenRunFolder(run_.path, run_.recipe, run_.network, only_stage_));
  lock_ = std::make_unique<FolderLock>(std::move(lock));
  return OpenLog();
}

// Takes up an interrupted run where there is one.
absl::Status Run::OpenLog() {
  std::string complaint;
  const auto rolling = LoadRolling(run_.path, &complaint);
  if (!complaint.empty()) {
    run_.observer->Message(absl::StrCat("passed over: ", complaint));
  }
  if (rolling.ok()) TAMER_RETURN_IF_ERROR(Resume(*rolling));
  // What an interrupted run wrote after its last checkpoint goes.
  const auto open =
      [&](const char* name,
          int64_t done) -> absl::StatusOr<std::unique_ptr<MetricsLog>> {
    const std::string path = JoinPath(run_.path, name);
    int64_t size = 0;
    if (Exists(path)) {
      TAMER_ASSIGN_OR_RETURN(const std::string lines, ReadFile(path));
      size = static_cast<int64_t>(lines.size());
    }
    return MetricsLog::Open(path, rolling.ok() ? std::min(done, size) : size);
  };
  TAMER_ASSIGN_OR_RETURN(run_.log,
                         open("metrics.jsonl", run_.progress.metrics_bytes()));
  if (!run_.recipe.def.histograms()) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(
      run_.histograms,
      open("histograms.jsonl", run_.progress.histograms_bytes()));
  return absl::OkStatus();
}

absl::Status Run::Resume(const Checkpoint& checkpoint) {
  const ManifestDef& manifest = checkpoint.manifest;
  run_.progress = manifest.progress();
  if (run_.progress.stage() < 0 ||
      run_.progress.stage() >= run_.recipe.def.stage_size()) {
    return Invalid(run_.path, ": its rolling checkpoint is of stage ",
                   run_.progress.stage(), ", which the recipe doesn't have");
  }
  const std::string& name = stage(run_.progress.stage()).name();
  const bool only = run_.progress.generation() > 1;
  const std::string flag =
      run_.progress.continuing() ? "--continue-stage " : "--again-stage ";
  if (only != (only_stage_ >= 0) ||
      (only &&
       (only_stage_ != run_.progress.stage() ||
        run_.progress.continuing() != (only_mode_ == StageMode::kContinue)))) {
    return absl::FailedPreconditionError(absl::StrCat(
        run_.path, ": stage \"", name,
        "\" was interrupted; first finish it by ",
        only ? flag + name : "tamer train without --continue-stage"));
  }
  if (!SameMessage(manifest.recipe(), WithoutMachine(run_.recipe.def))) {
    return absl::FailedPreconditionError(
        absl::StrCat(run_.path, ": stage \"", name,
                     "\" was interrupted with other settings; ",
                     "first finish it with the same --set options"));
  }
  run_.variables = std::make_unique<Variables>();
  for (const auto& entry : checkpoint.file.tensors) {
    TAMER_ASSIGN_OR_RETURN(
        const Tensor own,
        run_.variables->Add(entry.first,
                            {entry.second.dtype, entry.second.shape}));
    std::memcpy(own.data, entry.second.data, own.bytes());
  }
  run_.parent.manifest.set_stage(manifest.parent());
  run_.parent.id = manifest.parent_id();
  run_.parent.path =
      JoinPath(manifest.has_base_path() ? manifest.base_path() : run_.path,
               manifest.parent_id());
  resuming_ = true;
  return absl::OkStatus();
}

absl::StatusOr<Run::Entry> Run::Enter(int index, StageMode mode,
                                      const TrainingData& data) {
  const StageDef& stage = this->stage(index);
  const bool resumed = resuming_ && run_.progress.stage() == index;
  if (resumed) resuming_ = false;
  const auto before = NewestProduct(run_.path, stage.name());
  // With a rolling checkpoint left, the run was cut off before all of the end
  // was on record: the last steps are done again, to the same product.
  if (mode == StageMode::kFirst && before.ok() && !resumed) {
    run_.observer->Message(absl::StrCat("stage ", stage.name(),
                                        ": finished before: ", before->path));
    return Entry::kFinished;
  }
  if (!resumed) {
    TAMER_RETURN_IF_ERROR(StartStage(&run_, index, mode, data));
    return Entry::kBegun;
  }
  run_.observer->Message(absl::StrCat(
      "stage ", stage.name(), ": continued at ", "epoch ",
      run_.progress.epoch() + 1, ", step ", run_.progress.step_in_epoch() + 1));
  return Entry::kResumed;
}

// The first worker's entry, progress and variables, to all.
absl::StatusOr<Run::Entry> Run::Share(absl::StatusOr<Entry> entry) {
  if (run_.group == nullptr) return entry;
  TAMER_RETURN_IF_ERROR(ShareStatus(run_.group, entry.status()));
  std::string words;
  if (run_.leads()) {
    words = static_cast<char>(*entry) + run_.progress.SerializeAsString();
  }
  TAMER_RETURN_IF_ERROR(ShareBytes(run_.group, &words));
  if (!run_.leads()) {
    entry = static_cast<Entry>(words[0]);
    run_.variables = std::make_unique<Variables>();
    if (!run_.progress.ParseFromString(words.substr(1))) {
      return Invalid("worker 0 sent nonsense");
    }
  }
  if (*entry == Entry::kFinished) return entry;
  TAMER_RETURN_IF_ERROR(ShareVariables(run_.group, run_.variables.get()));
  TakeOwn(run_.group, run_.variables.get());
  return entry;
}

absl::StatusOr<bool> Run::RunStage(int index, StageMode mode) {
  const StageDef& stage = this->stage(index);
  const auto began = Clock::now();
  TAMER_ASSIGN_OR_RETURN(const TrainingData* data, DataOf(index));
  absl::StatusOr<Entry> entry = Entry::kFinished;
  if (run_.leads()) entry = Enter(index, mode, *data);
  TAMER_ASSIGN_OR_RETURN(entry, Share(std::move(entry)));
  if (*entry == Entry::kFinished) return true;
  StageRun stage_run(&run_, stage, *data);
  TAMER_ASSIGN_OR_RETURN(const bool finished, stage_run.Run());
  if (!finished) return false;
  absl::StatusOr<ProductInfo> product = ProductInfo();
  if (run_.leads()) product = stage_run.Finish();
  TAMER_RETURN_IF_ERROR(ShareStatus(run_.group, product.status()));
  MetricValues metrics;
  for (const MetricDef& metric : product->manifest.metric()) {
    if (absl::StartsWith(metric.name(), "test_")) {
      metrics.emplace_back(metric.name(), metric.value());
    }
  }
  run_.observer->StageEnds(
      stage.name(), product->path, metrics,
      std::chrono::duration<double>(Clock::now() - began).count());
  return true;
}

absl::StatusOr<TrainResult> Run::Execute() {
  TAMER_RETURN_IF_ERROR(Open());
  TrainResult result;
  for (int i = 0; i < run_.recipe.def.stage_size(); ++i) {
    if (only_stage_ >= 0 && i != only_stage_) continue;
    TAMER_ASSIGN_OR_RETURN(const bool finished, RunStage(i, only_mode_));
    if (!finished) return result;
    if (!run_.leads()) continue;
    TAMER_ASSIGN_OR_RETURN(const ProductInfo product,
                           NewestProduct(run_.path, stage(i).name()));
    result.product = product.path;
  }
  // What a kill while a stage ended may have left.
  if (run_.leads()) RemoveRolling(run_.path);
  result.finished = true;
  return result;
}

}  // namespace

absl::StatusOr<TrainResult> Train(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const TrainOptions& options,
                                  Observer* observer) {
  DataCache data;
  return OnWorkers(
      recipe, registry, observer, [&](Collective* group, Observer* own) {
        return Run(recipe, registry, options, own, &data, group).Execute();
      });
}

}  // namespace tamer
