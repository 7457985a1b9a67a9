#include "core/train/trainer.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/plan/variables.h"
#include "core/runtime/scheduler.h"
#include "core/train/checkpoint.h"
#include "core/train/evaluate.h"
#include "core/train/executor.h"
#include "core/train/files.h"
#include "core/train/metrics_log.h"
#include "core/train/phase.h"
#include "core/train/run_folder.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

class Run {
 public:
  Run(const Recipe& recipe, const OpRegistry& registry,
      const TrainOptions& options, Observer* observer)
      : recipe_(recipe),
        registry_(registry),
        path_(options.run),
        observer_(observer),
        network_(&registry) {}

  absl::StatusOr<TrainResult> Execute();

 private:
  absl::Status Open();
  absl::Status CheckStages() const;
  absl::Status Resume(const Checkpoint& checkpoint);
  absl::Status BeginStage(int index);
  absl::Status LoadParent(int parent);
  absl::StatusOr<bool> RunStage(int index);
  absl::StatusOr<bool> Pretrain(const StageDef& stage);
  absl::StatusOr<bool> PretrainOne(const StageDef& stage,
                                   const PretrainLayer& layer);
  absl::StatusOr<bool> Finetune(const StageDef& stage);
  absl::Status FinishStage(const StageDef& stage);
  Phase NewPhase(const StageDef& stage);
  ManifestDef NewManifest(const std::string& stage) const;
  std::map<std::string, Tensor> ProductTensors() const;
  void DropState(const std::set<std::string>& keep);

  const Recipe& recipe_;
  const OpRegistry& registry_;
  const std::string path_;
  Observer* observer_;

  std::unique_ptr<FolderLock> lock_;
  Graph network_;
  TrainingData data_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<MetricsLog> log_;
  std::unique_ptr<Variables> variables_;
  // Variables that belong in the running stage's product.
  std::set<std::string> product_names_;
  ProgressDef progress_;
  bool resuming_ = false;
  std::string parent_;
  uint32_t parent_crc32_ = 0;
};

// Makes every stage's graphs once, so that a fault of the last stage is told
// before the first begins, and before anything is written.
absl::Status Run::CheckStages() const {
  for (const StageDef& stage : recipe_.def.stage()) {
    std::vector<absl::StatusOr<Graph>> graphs;
    if (stage.has_finetune()) {
      graphs.push_back(
          tamer::Finetune(network_, stage.finetune(), stage.solver()));
    }
    for (const PretrainLayer& layer : stage.pretrain().layer()) {
      graphs.push_back(tamer::Pretrain(
          network_, layer,
          layer.has_solver() ? layer.solver() : stage.solver()));
    }
    for (const auto& graph : graphs) {
      absl::Status status = graph.status();
      if (status.ok()) status = CheckFits(*graph, *data_.train);
      if (!status.ok()) {
        return Annotate(status, absl::StrCat(recipe_.file, ": stage \"",
                                             stage.name(), "\""));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Run::Open() {
  TAMER_ASSIGN_OR_RETURN(
      network_, LoadGraph(JoinPath(recipe_.folder, recipe_.def.graph_file()),
                          &registry_));
  ThreadOptions threads;
  threads.intra_op = recipe_.def.threads().intra_op();
  threads.inter_op = recipe_.def.threads().inter_op();
  scheduler_ = std::make_unique<Scheduler>(threads);
  TAMER_ASSIGN_OR_RETURN(data_, LoadData(recipe_));
  TAMER_RETURN_IF_ERROR(CheckStages());
  TAMER_ASSIGN_OR_RETURN(FolderLock lock,
                         OpenRunFolder(path_, recipe_, network_));
  lock_ = std::make_unique<FolderLock>(std::move(lock));
  std::string complaint;
  const auto rolling = LoadRolling(path_, &complaint);
  if (!complaint.empty()) {
    observer_->Message(absl::StrCat("passed over: ", complaint));
  }
  int64_t keep = 0;
  const std::string metrics = JoinPath(path_, "metrics.jsonl");
  if (rolling.ok()) {
    TAMER_RETURN_IF_ERROR(Resume(*rolling));
    keep = progress_.metrics_bytes();
  } else if (Exists(metrics)) {
    TAMER_ASSIGN_OR_RETURN(const std::string lines, ReadFile(metrics));
    keep = static_cast<int64_t>(lines.size());
  }
  TAMER_ASSIGN_OR_RETURN(log_, MetricsLog::Open(metrics, keep));
  return absl::OkStatus();
}

absl::Status Run::Resume(const Checkpoint& checkpoint) {
  const ManifestDef& manifest = checkpoint.manifest;
  progress_ = manifest.progress();
  if (progress_.stage() < 0 || progress_.stage() >= recipe_.def.stage_size()) {
    return Invalid(path_, ": its rolling checkpoint is of stage ",
                   progress_.stage(), ", which the recipe doesn't have");
  }
  variables_ = std::make_unique<Variables>();
  for (const auto& entry : checkpoint.file.tensors) {
    TAMER_ASSIGN_OR_RETURN(
        const Tensor own,
        variables_->Add(entry.first, {entry.second.dtype, entry.second.shape}));
    std::memcpy(own.data, entry.second.data, own.bytes());
  }
  parent_ = manifest.parent();
  parent_crc32_ = manifest.parent_crc32();
  resuming_ = true;
  return absl::OkStatus();
}

absl::Status Run::LoadParent(int parent) {
  const std::string name = recipe_.def.stage(parent).name();
  TAMER_ASSIGN_OR_RETURN(const Checkpoint product,
                         LoadCheckpoint(ProductPath(path_, name)));
  for (const auto& entry : product.file.tensors) {
    TAMER_ASSIGN_OR_RETURN(
        const Tensor own,
        variables_->Add(entry.first, {entry.second.dtype, entry.second.shape}));
    std::memcpy(own.data, entry.second.data, own.bytes());
  }
  parent_ = name;
  parent_crc32_ = product.manifest.tensors_crc32();
  return absl::OkStatus();
}

// Parameters from the parent's product or fresh, and a first rolling
// checkpoint, from which even a stage that stops in its first second continues.
absl::Status Run::BeginStage(int index) {
  const StageDef& stage = recipe_.def.stage(index);
  variables_ = std::make_unique<Variables>();
  parent_.clear();
  parent_crc32_ = 0;
  TAMER_ASSIGN_OR_RETURN(const int parent, ParentStage(recipe_.def, index));
  if (parent >= 0) TAMER_RETURN_IF_ERROR(LoadParent(parent));
  int loaded = 0;
  std::string fresh;
  for (ValueId id : network_.variables()) {
    const std::string& name = network_.value(id).name;
    if (variables_->Find(name) != nullptr) {
      ++loaded;
    } else {
      absl::StrAppend(&fresh, fresh.empty() ? "" : ", ", name);
    }
  }
  TAMER_RETURN_IF_ERROR(variables_->AddMissing(network_, recipe_.def.seed()));
  observer_->Message(
      parent < 0 ? absl::StrCat("stage ", stage.name(), ": from initial values")
                 : absl::StrCat("stage ", stage.name(), ": from ",
                                recipe_.def.stage(parent).name(), ", ", loaded,
                                " parameters loaded",
                                fresh.empty() ? "" : "; new: ", fresh));
  progress_ = ProgressDef();
  progress_.set_stage(index);
  progress_.set_metrics_bytes(log_->bytes());
  ManifestDef manifest = NewManifest(stage.name());
  *manifest.mutable_progress() = progress_;
  return SaveRolling(path_, manifest, variables_->all());
}

ManifestDef Run::NewManifest(const std::string& stage) const {
  ManifestDef manifest;
  *manifest.mutable_graph() = network_.ToDef();
  *manifest.mutable_recipe() = WithoutMachine(recipe_.def);
  manifest.set_stage(stage);
  manifest.set_parent(parent_);
  manifest.set_parent_crc32(parent_crc32_);
  if (recipe_.def.data().scale() == STANDARDIZE) {
    for (float mean : data_.scaling.mean) manifest.add_feature_mean(mean);
    for (float factor : data_.scaling.factor) {
      manifest.add_feature_factor(factor);
    }
  }
  return manifest;
}

Phase Run::NewPhase(const StageDef& stage) {
  Phase phase;
  phase.stage = stage.name();
  phase.data = data_.train;
  phase.scaling = data_.scaling;
  phase.solver = stage.solver();
  phase.batch =
      stage.has_batch_size() ? stage.batch_size() : recipe_.def.batch_size();
  phase.seed = recipe_.def.seed();
  phase.parallel_branches = recipe_.def.threads().inter_op() > 1;
  phase.checkpoint_every_seconds = recipe_.def.checkpoint_every_seconds();
  phase.save = [this, name = stage.name()](const ProgressDef& progress) {
    ManifestDef manifest = NewManifest(name);
    *manifest.mutable_progress() = progress;
    return SaveRolling(path_, manifest, variables_->all());
  };
  return phase;
}

void Run::DropState(const std::set<std::string>& keep) {
  std::vector<std::string> state;
  for (const auto& entry : variables_->all()) {
    if (keep.count(entry.first) == 0) state.push_back(entry.first);
  }
  for (const std::string& name : state) variables_->Remove(name);
}

absl::StatusOr<bool> Run::PretrainOne(const StageDef& stage,
                                      const PretrainLayer& layer) {
  Phase phase = NewPhase(stage);
  phase.layer = layer.node();
  phase.epochs =
      layer.has_epochs() ? layer.epochs() : stage.pretrain().epochs();
  if (layer.has_solver()) phase.solver = layer.solver();
  const NodeId node = network_.FindNode(layer.node());
  Graph network = network_;
  if (node >= 0 && !network_.node(node).inputs.empty()) {
    const Value& below = network_.value(network_.node(node).inputs[0]);
    if (below.kind == Value::kOutput) {
      TAMER_ASSIGN_OR_RETURN(
          auto features,
          ComputeFeatures(network_, below.name, *data_.train, data_.scaling,
                          variables_.get(), scheduler_.get()));
      if (features != nullptr) {
        TAMER_ASSIGN_OR_RETURN(network, CutBelow(network_, below.name));
        phase.data = features;
        phase.scaling = FeatureScaling();
      }
    }
  }
  TAMER_ASSIGN_OR_RETURN(const Graph graph,
                         tamer::Pretrain(network, layer, phase.solver));
  phase.graph = &graph;
  TAMER_ASSIGN_OR_RETURN(const bool finished,
                         RunPhase(phase, variables_.get(), scheduler_.get(),
                                  log_.get(), observer_, &progress_));
  for (ValueId id : graph.variables()) {
    if (graph.variable_spec(id).trainable) {
      product_names_.insert(graph.value(id).name);
    }
  }
  return finished;
}

absl::StatusOr<bool> Run::Pretrain(const StageDef& stage) {
  // Parameters that earlier stages or layers learned beside the network's own.
  for (const auto& entry : variables_->all()) {
    if (absl::EndsWith(entry.first, "/visible_bias") &&
        !absl::StartsWith(entry.first, "update/")) {
      product_names_.insert(entry.first);
    }
  }
  for (int i = progress_.layer(); i < stage.pretrain().layer_size(); ++i) {
    progress_.set_layer(i);
    TAMER_ASSIGN_OR_RETURN(const bool finished,
                           PretrainOne(stage, stage.pretrain().layer(i)));
    if (!finished) return false;
    // The next layer begins at its first step, with a fresh optimizer.
    DropState(product_names_);
    ProgressDef next;
    next.set_stage(progress_.stage());
    next.set_layer(i + 1);
    progress_ = next;
  }
  return true;
}

absl::StatusOr<bool> Run::Finetune(const StageDef& stage) {
  Phase phase = NewPhase(stage);
  const FinetuneDef& finetune = stage.finetune();
  phase.epochs = finetune.epochs();
  TAMER_ASSIGN_OR_RETURN(const Graph graph,
                         tamer::Finetune(network_, finetune, stage.solver()));
  phase.graph = &graph;
  if (finetune.has_early_stopping()) {
    phase.early_stopping = &finetune.early_stopping();
  }
  if (data_.validation != nullptr) {
    phase.validate = [&]() -> absl::StatusOr<MetricValues> {
      TAMER_ASSIGN_OR_RETURN(
          const Evaluation evaluation,
          EvaluateOn(network_, finetune, *data_.validation, data_.scaling,
                     variables_.get(), scheduler_.get()));
      return evaluation.Values("validation_");
    };
  }
  return RunPhase(phase, variables_.get(), scheduler_.get(), log_.get(),
                  observer_, &progress_);
}

std::map<std::string, Tensor> Run::ProductTensors() const {
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : product_names_) {
    const Tensor* tensor = variables_->Find(name);
    if (tensor != nullptr) tensors[name] = *tensor;
  }
  return tensors;
}

absl::Status Run::FinishStage(const StageDef& stage) {
  ManifestDef manifest = NewManifest(stage.name());
  nlohmann::ordered_json line;
  line["stage"] = stage.name();
  line["finished"] = true;
  if (stage.has_finetune() && data_.test != nullptr) {
    TAMER_ASSIGN_OR_RETURN(
        const Evaluation evaluation,
        EvaluateOn(network_, stage.finetune(), *data_.test, data_.scaling,
                   variables_.get(), scheduler_.get()));
    for (const auto& value : evaluation.Values("test_")) {
      line[value.first] = value.second;
      MetricDef* metric = manifest.add_metric();
      metric->set_name(value.first);
      metric->set_value(value.second);
    }
  }
  TAMER_RETURN_IF_ERROR(log_->Append(line.dump()));
  TAMER_RETURN_IF_ERROR(SaveCheckpoint(ProductPath(path_, stage.name()),
                                       manifest, ProductTensors()));
  RemoveRolling(path_);
  return absl::OkStatus();
}

absl::StatusOr<bool> Run::RunStage(int index) {
  const StageDef& stage = recipe_.def.stage(index);
  const std::string product = ProductPath(path_, stage.name());
  if (Exists(product)) {
    // Only its rolling checkpoint was left to remove when the run was cut off.
    if (resuming_ && progress_.stage() == index) {
      RemoveRolling(path_);
      resuming_ = false;
    }
    observer_->Message(
        absl::StrCat("stage ", stage.name(), ": finished before: ", product));
    return true;
  }
  const auto began = Clock::now();
  if (resuming_ && progress_.stage() == index) {
    observer_->Message(absl::StrCat("stage ", stage.name(), ": continued at ",
                                    "epoch ", progress_.epoch() + 1, ", step ",
                                    progress_.step_in_epoch() + 1));
  } else {
    TAMER_RETURN_IF_ERROR(BeginStage(index));
  }
  resuming_ = false;
  product_names_.clear();
  for (ValueId id : network_.variables()) {
    product_names_.insert(network_.value(id).name);
  }
  TAMER_ASSIGN_OR_RETURN(const bool finished, stage.has_pretrain()
                                                  ? Pretrain(stage)
                                                  : Finetune(stage));
  if (!finished) return false;
  TAMER_RETURN_IF_ERROR(FinishStage(stage));
  TAMER_ASSIGN_OR_RETURN(const Checkpoint saved, LoadCheckpoint(product));
  MetricValues metrics;
  for (const MetricDef& metric : saved.manifest.metric()) {
    metrics.emplace_back(metric.name(), metric.value());
  }
  observer_->StageEnds(
      stage.name(), product, metrics,
      std::chrono::duration<double>(Clock::now() - began).count());
  return true;
}

absl::StatusOr<TrainResult> Run::Execute() {
  TAMER_RETURN_IF_ERROR(Open());
  TrainResult result;
  for (int i = 0; i < recipe_.def.stage_size(); ++i) {
    TAMER_ASSIGN_OR_RETURN(const bool finished, RunStage(i));
    if (!finished) return result;
    result.product = ProductPath(path_, recipe_.def.stage(i).name());
  }
  result.finished = true;
  return result;
}

}  // namespace

absl::StatusOr<TrainResult> Train(const Recipe& recipe,
                                  const OpRegistry& registry,
                                  const TrainOptions& options,
                                  Observer* observer) {
  return Run(recipe, registry, options, observer).Execute();
}

}  // namespace tamer
