#include "core/train/trainer.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/passes/solver.h"
#include "core/plan/variables.h"
#include "core/runtime/scheduler.h"
#include "core/train/checkpoint.h"
#include "core/train/evaluate.h"
#include "core/train/executor.h"
#include "core/train/files.h"
#include "core/train/finetuning.h"
#include "core/train/load.h"
#include "core/train/metrics_log.h"
#include "core/train/phase.h"
#include "core/train/pretraining.h"
#include "core/train/product.h"
#include "core/train/products.h"
#include "core/train/run_folder.h"
namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;

// What a phase leaves beside the product waits under this prefix and the
// phase's number for the day its stage is continued.
constexpr char kState[] = "state/";

// Why and how a stage runs.
enum class Mode { kFirst, kContinue, kAgain };

class Run {
 public:
  Run(const Recipe& recipe, const OpRegistry& registry,
      const TrainOptions& options, Observer* observer)
      : recipe_(recipe),
        registry_(registry),
        options_(options),
        path_(options.run),
        observer_(observer),
        network_(&registry) {}

  absl::StatusOr<TrainResult> Execute();

 private:
  const StageDef& stage(int index) const { return recipe_.def.stage(index); }
  int layers(int index) const {
    return stage(index).has_pretrain() ? stage(index).pretrain().layer_size()
                                       : 1;
  }

  // Before anything runs.
  absl::Status ChooseStage();
  absl::Status Open();
  absl::Status CheckStage(int index);
  absl::Status OpenLog();
  absl::Status Resume(const Checkpoint& checkpoint);
  absl::StatusOr<const TrainingData*> DataOf(int index);

  // A stage's beginning.
  absl::Status BeginStage(int index, Mode mode);
  absl::StatusOr<ProductInfo> FindParent(int index, Mode mode);
  absl::Status LoadParent(int index, Mode mode, const ProductInfo& parent);
  void BeginLayer(int layer);

  absl::StatusOr<bool> RunStage(int index, Mode mode);
  absl::StatusOr<bool> Pretrain(const StageDef& stage,
                                const TrainingData& data);
  absl::StatusOr<bool> PretrainOne(const StageDef& stage,
                                   const PretrainLayer& layer,
                                   const TrainingData& data);
  absl::StatusOr<bool> Finetune(const StageDef& stage,
                                const TrainingData& data);
  Phase NewPhase(const StageDef& stage, const TrainingData& data);
  void EndLayer(const StageDef& stage, const std::string& prefix);

  // A stage's end.
  absl::StatusOr<ProductInfo> FinishStage(const StageDef& stage,
                                          const TrainingData& data);
  absl::StatusOr<std::set<std::string>> Untrained(const StageDef& stage,
                                                  const TrainingData& data);
  ManifestDef NewManifest(const StageDef& stage,
                          const TrainingData& data) const;
  // Whether a variable is the network's own, or of what pretraining adds to it;
  // and whether it belongs in the stage's product.
  bool OfNetwork(const std::string& name) const;
  bool InProduct(const std::string& name) const;

  const Recipe& recipe_;
  const OpRegistry& registry_;
  const TrainOptions& options_;
  const std::string path_;
  Observer* observer_;

  int only_stage_ = -1;  // of continue_stage or again_stage
  Mode only_mode_ = Mode::kFirst;
  std::unique_ptr<FolderLock> lock_;
  Graph network_;
  std::map<std::string, TrainingData> data_;  // by its definition's bytes
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<MetricsLog> log_;
  std::unique_ptr<Variables> variables_;
  std::unique_ptr<FinetuneSetup> finetuning_;
  ProgressDef progress_;
  bool resuming_ = false;
  ProductInfo parent_;
};

// A layer with what only the data tell.
PretrainLayer Resolved(PretrainLayer layer, const TrainingData& data) {
  if (layer.has_labels() && !layer.labels().has_classes()) {
    layer.mutable_labels()->set_classes(data.train->classes());
  }
  return layer;
}

void AddMetric(const std::string& name, double value, ManifestDef* manifest) {
  MetricDef* metric = manifest->add_metric();
  metric->set_name(name);
  metric->set_value(value);
}

absl::Status Run::ChooseStage() {
  const bool continues = !options_.continue_stage.empty();
  const std::string& name =
      continues ? options_.continue_stage : options_.again_stage;
  if (name.empty()) return absl::OkStatus();
  only_mode_ = continues ? Mode::kContinue : Mode::kAgain;
  std::vector<std::string> names;
  for (int i = 0; i < recipe_.def.stage_size(); ++i) {
    if (stage(i).name() == name) only_stage_ = i;
    names.push_back(stage(i).name());
  }
  if (only_stage_ >= 0) return absl::OkStatus();
  return Invalid(recipe_.file, ": there is no stage \"", name, "\"",
                 DidYouMean(name, names));
}

absl::StatusOr<const TrainingData*> Run::DataOf(int index) {
  const DataDef& def =
      stage(index).has_data() ? stage(index).data() : recipe_.def.data();
  const std::string key = def.SerializeAsString();
  if (data_.count(key) == 0) {
    TAMER_ASSIGN_OR_RETURN(data_[key], LoadStageData(recipe_, stage(index)));
  }
  return &data_[key];
}

// Makes a stage's graphs once, so that a fault of the last stage is told before
// the first begins, and before anything is written.
absl::Status Run::CheckStage(int index) {
  const StageDef& stage = this->stage(index);
  TAMER_ASSIGN_OR_RETURN(const TrainingData* data, DataOf(index));
  const auto check = [&]() -> absl::Status {
    if (stage.finetune().has_adapters()) {
      TAMER_ASSIGN_OR_RETURN(const int parent, ParentStage(recipe_.def, index));
      if (parent < 0 && !stage.has_load()) {
        return Invalid("adapters need a product to adapt; add from or load");
      }
      if (only_mode_ == Mode::kContinue) {
        return Invalid("adapters cannot be gone on with; repeat the stage by ",
                       "--again-stage, or add another stage after it");
      }
    }
    if (stage.has_load() && only_mode_ != Mode::kContinue) {
      TAMER_ASSIGN_OR_RETURN(const ProductInfo parent,
                             FindParent(index, Mode::kFirst));
      TAMER_ASSIGN_OR_RETURN(const LoadedProduct product, LoadProduct(parent));
      Variables scratch;
      TAMER_RETURN_IF_ERROR(
          LoadParameters(network_, product.tensors, stage.load(), &scratch)
              .status());
    }
    if (stage.has_finetune()) {
      TAMER_ASSIGN_OR_RETURN(const FinetuneSetup setup,
                             SetUpFinetuning(network_, stage, {}));
      return CheckFits(setup.graphs[0].second, *data->train);
    }
    for (const PretrainLayer& layer : stage.pretrain().layer()) {
      TAMER_ASSIGN_OR_RETURN(
          const Graph graph,
          tamer::Pretrain(
              network_, Resolved(layer, *data),
              layer.has_solver() ? layer.solver() : stage.solver()));
      TAMER_RETURN_IF_ERROR(CheckFits(graph, *data->train));
    }
    return absl::OkStatus();
  };
  return Annotate(check(),
                  absl::StrCat(recipe_.file, ": stage \"", stage.name(), "\""));
}

absl::Status Run::Open() {
  TAMER_RETURN_IF_ERROR(ChooseStage());
  TAMER_ASSIGN_OR_RETURN(
      network_, LoadGraph(JoinPath(recipe_.folder, recipe_.def.graph_file()),
                          &registry_));
  ThreadOptions threads;
  threads.intra_op = recipe_.def.threads().intra_op();
  threads.inter_op = recipe_.def.threads().inter_op();
  scheduler_ = std::make_unique<Scheduler>(threads);
  for (int i = 0; i < recipe_.def.stage_size(); ++i) {
    if (only_stage_ >= 0 && i != only_stage_) continue;
    TAMER_RETURN_IF_ERROR(CheckStage(i));
  }
  TAMER_ASSIGN_OR_RETURN(FolderLock lock,
                         OpenRunFolder(path_, recipe_, network_, only_stage_));
  lock_ = std::make_unique<FolderLock>(std::move(lock));
  return OpenLog();
}

// Takes up an interrupted run where there is one.
absl::Status Run::OpenLog() {
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
  const std::string& name = stage(progress_.stage()).name();
  const bool only = progress_.generation() > 1;
  const std::string flag =
      progress_.continuing() ? "--continue-stage " : "--again-stage ";
  if (only != (only_stage_ >= 0) ||
      (only && (only_stage_ != progress_.stage() ||
                progress_.continuing() != (only_mode_ == Mode::kContinue)))) {
    return absl::FailedPreconditionError(absl::StrCat(
        path_, ": stage \"", name, "\" was interrupted; first finish it by ",
        only ? flag + name : "tamer train without --continue-stage"));
  }
  if (!SameMessage(manifest.recipe(), WithoutMachine(recipe_.def))) {
    return absl::FailedPreconditionError(absl::StrCat(
        path_, ": stage \"", name, "\" was interrupted with other settings; ",
        "first finish it with the same --set options"));
  }
  variables_ = std::make_unique<Variables>();
  for (const auto& entry : checkpoint.file.tensors) {
    TAMER_ASSIGN_OR_RETURN(
        const Tensor own,
        variables_->Add(entry.first, {entry.second.dtype, entry.second.shape}));
    std::memcpy(own.data, entry.second.data, own.bytes());
  }
  parent_.manifest.set_stage(manifest.parent());
  parent_.id = manifest.parent_id();
  parent_.path = manifest.base_path();
  resuming_ = true;
  return absl::OkStatus();
}

// The product that the stage starts from; an empty one for initial values.
absl::StatusOr<ProductInfo> Run::FindParent(int index, Mode mode) {
  if (mode == Mode::kContinue) {
    return NewestProduct(path_, stage(index).name());
  }
  if (stage(index).has_load()) {
    return FindProductOrRun(
        JoinPath(recipe_.folder, stage(index).load().product()), registry_);
  }
  TAMER_ASSIGN_OR_RETURN(const int parent, ParentStage(recipe_.def, index));
  if (parent < 0) return ProductInfo();
  return NewestProduct(path_, stage(parent).name());
}

absl::Status Run::LoadParent(int index, Mode mode, const ProductInfo& parent) {
  TAMER_ASSIGN_OR_RETURN(const LoadedProduct product, LoadProduct(parent));
  LoadDef rules;
  if (mode == Mode::kFirst || mode == Mode::kAgain) {
    rules = stage(index).load();
  }
  // Within a run the network is the same: what no stage has learned yet is
  // missing.
  if (!stage(index).has_load() || mode == Mode::kContinue) {
    rules.add_allow_missing("*");
  }
  auto report =
      LoadParameters(network_, product.tensors, rules, variables_.get());
  if (!report.ok()) return Annotate(report.status(), parent.path);
  observer_->Message(absl::StrCat("stage ", stage(index).name(), ": from ",
                                  parent.manifest.stage(), " (", parent.id,
                                  "), ", report->ToString()));
  if (mode != Mode::kContinue) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const TensorFile state, LoadState(parent));
  if (state.tensors.empty()) {
    observer_->Message("its state file is gone: the optimizer begins afresh");
  }
  for (const auto& entry : state.tensors) {
    TAMER_ASSIGN_OR_RETURN(
        const Tensor own,
        variables_->Add(entry.first, {entry.second.dtype, entry.second.shape}));
    std::memcpy(own.data, entry.second.data, own.bytes());
  }
  *progress_.mutable_done() = parent.manifest.done();
  return absl::OkStatus();
}

// Parameters from the parent's product or fresh, and a first rolling
// checkpoint, from which even a stage that stops in its first second continues.
absl::Status Run::BeginStage(int index, Mode mode) {
  variables_ = std::make_unique<Variables>();
  progress_ = ProgressDef();
  progress_.set_stage(index);
  progress_.set_continuing(mode == Mode::kContinue);
  const auto newest = NewestProduct(path_, stage(index).name());
  if (newest.ok()) {
    progress_.set_generation(newest->manifest.generation() + 1);
  }
  TAMER_ASSIGN_OR_RETURN(parent_, FindParent(index, mode));
  if (parent_.id.empty()) {
    observer_->Message(
        absl::StrCat("stage ", stage(index).name(), ": from initial values"));
  } else {
    TAMER_RETURN_IF_ERROR(LoadParent(index, mode, parent_));
  }
  for (ValueId id : network_.variables()) {
    const std::string& name = network_.value(id).name;
    if (variables_->Find(name) == nullptr) progress_.add_fresh(name);
  }
  TAMER_RETURN_IF_ERROR(variables_->AddMissing(network_, recipe_.def.seed()));
  while (progress_.done_size() < layers(index)) progress_.add_done();
  BeginLayer(0);
  progress_.set_metrics_bytes(log_->bytes());
  TAMER_ASSIGN_OR_RETURN(const TrainingData* data, DataOf(index));
  ManifestDef manifest = NewManifest(stage(index), *data);
  *manifest.mutable_progress() = progress_;
  return SaveRolling(path_, manifest, variables_->all(),
                     recipe_.def.keep_checkpoints());
}

// Where the layer's last generation left off, or at its first step.
void Run::BeginLayer(int layer) {
  ProgressDef next;
  next.set_stage(progress_.stage());
  next.set_generation(progress_.generation());
  next.set_continuing(progress_.continuing());
  *next.mutable_done() = progress_.done();
  *next.mutable_fresh() = progress_.fresh();
  *next.mutable_finished() = progress_.finished();
  next.set_layer(layer);
  if (layer < progress_.done_size()) {
    next.set_epoch(progress_.done(layer).epochs());
    next.set_step(progress_.done(layer).steps());
  }
  progress_ = next;
}

ManifestDef Run::NewManifest(const StageDef& stage,
                             const TrainingData& data) const {
  ManifestDef manifest;
  *manifest.mutable_graph() = network_.ToDef();
  *manifest.mutable_recipe() = WithoutMachine(recipe_.def);
  manifest.set_stage(stage.name());
  manifest.set_generation(progress_.generation());
  if (!parent_.id.empty()) {
    manifest.set_parent(parent_.manifest.stage());
    manifest.set_parent_id(parent_.id);
  }
  if (stage.finetune().has_adapters()) {
    manifest.set_base_path(parent_.path.substr(0, parent_.path.rfind('/')));
  }
  const DataDef& def = stage.has_data() ? stage.data() : recipe_.def.data();
  if (def.scale() == STANDARDIZE) {
    for (float mean : data.scaling.mean) manifest.add_feature_mean(mean);
    for (float factor : data.scaling.factor) {
      manifest.add_feature_factor(factor);
    }
  }
  return manifest;
}

Phase Run::NewPhase(const StageDef& stage, const TrainingData& data) {
  Phase phase;
  phase.stage = stage.name();
  phase.data = data.train;
  phase.scaling = data.scaling;
  phase.solver = stage.solver();
  phase.batch =
      stage.has_batch_size() ? stage.batch_size() : recipe_.def.batch_size();
  phase.seed = recipe_.def.seed();
  phase.parallel_branches = recipe_.def.threads().inter_op() > 1;
  phase.checkpoint_every_seconds = recipe_.def.checkpoint_every_seconds();
  phase.checkpoint_every_steps = recipe_.def.checkpoint_every_steps();
  phase.save = [this, &stage, &data](const ProgressDef& progress) {
    ManifestDef manifest = NewManifest(stage, data);
    *manifest.mutable_progress() = progress;
    return SaveRolling(path_, manifest, variables_->all(),
                       recipe_.def.keep_checkpoints());
  };
  // What an earlier generation of this layer left.
  const std::string prefix = absl::StrCat(kState, progress_.layer(), "/");
  std::vector<std::string> kept;
  for (const auto& entry : variables_->all()) {
    if (absl::StartsWith(entry.first, prefix)) kept.push_back(entry.first);
  }
  for (const std::string& name : kept) {
    variables_->Rename(name, name.substr(prefix.size()));
  }
  return phase;
}

bool Run::OfNetwork(const std::string& name) const {
  const ValueId id = network_.FindValue(name);
  return IsPretrained(name) ||
         (id >= 0 && network_.value(id).kind == Value::kVariable);
}

bool Run::InProduct(const std::string& name) const {
  if (finetuning_ == nullptr || finetuning_->changed.empty()) {
    return OfNetwork(name);
  }
  return finetuning_->changed.count(name) > 0;
}

// What was done goes on record, and what isn't the product's is put aside.
void Run::EndLayer(const StageDef& stage, const std::string& prefix) {
  DoneDef* done = progress_.mutable_done(progress_.layer());
  done->set_epochs(progress_.epoch());
  done->set_steps(progress_.step());
  for (const MetricDef& last : progress_.last()) {
    MetricDef* finished = progress_.add_finished();
    finished->set_name(prefix + last.name());
    finished->set_value(last.value());
  }
  std::vector<std::string> state;
  for (const auto& entry : variables_->all()) {
    if (!OfNetwork(entry.first) && !InProduct(entry.first) &&
        !absl::StartsWith(entry.first, kState)) {
      state.push_back(entry.first);
    }
  }
  for (const std::string& name : state) {
    variables_->Rename(name,
                       absl::StrCat(kState, progress_.layer(), "/", name));
  }
  if (stage.has_pretrain()) BeginLayer(progress_.layer() + 1);
}

absl::StatusOr<bool> Run::PretrainOne(const StageDef& stage,
                                      const PretrainLayer& layer,
                                      const TrainingData& data) {
  Phase phase = NewPhase(stage, data);
  phase.layer = layer.node();
  phase.epochs =
      progress_.done(progress_.layer()).epochs() +
      (layer.has_epochs() ? layer.epochs() : stage.pretrain().epochs());
  if (layer.has_solver()) phase.solver = layer.solver();
  TAMER_ASSIGN_OR_RETURN(const PretrainSetup setup,
                         SetUpPretraining(network_, layer, phase.solver, data,
                                          variables_.get(), scheduler_.get()));
  TAMER_RETURN_IF_ERROR(
      ApplyStartValues(setup, layer, variables_.get(), scheduler_.get()));
  phase.data = setup.train;
  phase.scaling = setup.scaling;
  phase.graphs = {{0, &setup.graph}};
  std::unique_ptr<RbmMonitor> monitor;
  if (RbmMonitor::Watches(setup, layer)) {
    TAMER_ASSIGN_OR_RETURN(
        monitor,
        RbmMonitor::Make(setup, layer, variables_.get(), scheduler_.get()));
    phase.validate = [&] { return monitor->Measure(); };
  }
  return RunPhase(phase, variables_.get(), scheduler_.get(), log_.get(),
                  observer_, &progress_);
}

absl::StatusOr<bool> Run::Pretrain(const StageDef& stage,
                                   const TrainingData& data) {
  while (progress_.layer() < stage.pretrain().layer_size()) {
    const PretrainLayer layer =
        Resolved(stage.pretrain().layer(progress_.layer()), data);
    TAMER_ASSIGN_OR_RETURN(const bool finished,
                           PretrainOne(stage, layer, data));
    if (!finished) return false;
    EndLayer(stage, layer.node() + "/");
  }
  return true;
}

absl::StatusOr<bool> Run::Finetune(const StageDef& stage,
                                   const TrainingData& data) {
  Phase phase = NewPhase(stage, data);
  const FinetuneDef& finetune = stage.finetune();
  phase.epochs = progress_.done(0).epochs() + finetune.epochs();
  for (const auto& entry : finetuning_->graphs) {
    phase.graphs.emplace_back(entry.first, &entry.second);
  }
  if (finetune.has_early_stopping()) {
    phase.early_stopping = &finetune.early_stopping();
  }
  if (data.validation != nullptr) {
    phase.validate = [&] {
      return ValidateOn(finetuning_->network, finetune, *data.validation,
                        data.scaling, variables_.get(), scheduler_.get());
    };
  }
  TAMER_ASSIGN_OR_RETURN(const bool finished,
                         RunPhase(phase, variables_.get(), scheduler_.get(),
                                  log_.get(), observer_, &progress_));
  if (finished) EndLayer(stage, "");
  return finished;
}

// What still has its initial values after a pretraining stage, and so has no
// place in its product: a head, say, that fine-tuning will train.
absl::StatusOr<std::set<std::string>> Run::Untrained(const StageDef& stage,
                                                     const TrainingData& data) {
  std::set<std::string> names;
  if (!stage.has_pretrain()) return names;
  names.insert(progress_.fresh().begin(), progress_.fresh().end());
  for (const PretrainLayer& layer : stage.pretrain().layer()) {
    TAMER_ASSIGN_OR_RETURN(
        const Graph graph,
        tamer::Pretrain(network_, Resolved(layer, data),
                        layer.has_solver() ? layer.solver() : stage.solver()));
    for (const std::string& name : UpdatedBy(graph)) names.erase(name);
  }
  return names;
}

absl::StatusOr<ProductInfo> Run::FinishStage(const StageDef& stage,
                                             const TrainingData& data) {
  ManifestDef manifest = NewManifest(stage, data);
  manifest.set_data_sha256(Fingerprint(*data.train));
  *manifest.mutable_done() = progress_.done();
  *manifest.mutable_metric() = progress_.finished();
  nlohmann::ordered_json line;
  line["stage"] = stage.name();
  line["finished"] = true;
  if (stage.has_finetune() && data.test != nullptr) {
    TAMER_ASSIGN_OR_RETURN(
        const Evaluation evaluation,
        EvaluateOn(finetuning_->network, stage.finetune(), *data.test,
                   data.scaling, variables_.get(), scheduler_.get()));
    for (const auto& value : evaluation.Values("test_")) {
      line[value.first] = value.second;
      AddMetric(value.first, value.second, &manifest);
    }
  }
  if (stage.finetune().has_adapters() && !parent_.id.empty()) {
    manifest.set_base_id(parent_.id);
    manifest.set_adapter_scale(AdapterScale(stage.finetune().adapters()));
  }
  TAMER_ASSIGN_OR_RETURN(const std::set<std::string> untrained,
                         Untrained(stage, data));
  std::map<std::string, Tensor> tensors, state;
  for (const auto& entry : variables_->all()) {
    if (absl::StartsWith(entry.first, kState)) {
      state.insert(entry);
    } else if (InProduct(entry.first) && untrained.count(entry.first) == 0) {
      tensors.insert(entry);
    }
  }
  TAMER_ASSIGN_OR_RETURN(ProductInfo info,
                         SaveProduct(path_, manifest, tensors, state));
  line["product"] = info.id;
  TAMER_RETURN_IF_ERROR(log_->Append(line.dump()));
  RemoveRolling(path_);
  return info;
}

absl::StatusOr<bool> Run::RunStage(int index, Mode mode) {
  const StageDef& stage = this->stage(index);
  const bool resumed = resuming_ && progress_.stage() == index;
  if (resumed) resuming_ = false;
  const auto before = NewestProduct(path_, stage.name());
  // With a rolling checkpoint left, the run was cut off before all of the end
  // was on record: the last steps are done again, to the same product.
  if (mode == Mode::kFirst && before.ok() && !resumed) {
    observer_->Message(absl::StrCat("stage ", stage.name(),
                                    ": finished before: ", before->path));
    return true;
  }
  const auto began = Clock::now();
  TAMER_ASSIGN_OR_RETURN(const TrainingData* data, DataOf(index));
  if (resumed) {
    observer_->Message(absl::StrCat("stage ", stage.name(), ": continued at ",
                                    "epoch ", progress_.epoch() + 1, ", step ",
                                    progress_.step_in_epoch() + 1));
  } else {
    TAMER_RETURN_IF_ERROR(BeginStage(index, mode));
  }
  finetuning_ = nullptr;
  if (stage.has_finetune()) {
    std::vector<std::string> fresh;
    for (const std::string& name : progress_.fresh()) {
      fresh.push_back(name.substr(0, name.find_last_of('/')));
    }
    TAMER_ASSIGN_OR_RETURN(FinetuneSetup setup,
                           SetUpFinetuning(network_, stage, fresh));
    finetuning_ = std::make_unique<FinetuneSetup>(std::move(setup));
  }
  TAMER_ASSIGN_OR_RETURN(const bool finished, stage.has_pretrain()
                                                  ? Pretrain(stage, *data)
                                                  : Finetune(stage, *data));
  if (!finished) return false;
  TAMER_ASSIGN_OR_RETURN(const ProductInfo product, FinishStage(stage, *data));
  MetricValues metrics;
  for (const MetricDef& metric : product.manifest.metric()) {
    if (absl::StartsWith(metric.name(), "test_")) {
      metrics.emplace_back(metric.name(), metric.value());
    }
  }
  observer_->StageEnds(
      stage.name(), product.path, metrics,
      std::chrono::duration<double>(Clock::now() - began).count());
  return true;
}

absl::StatusOr<TrainResult> Run::Execute() {
  TAMER_RETURN_IF_ERROR(Open());
  TrainResult result;
  for (int i = 0; i < recipe_.def.stage_size(); ++i) {
    if (only_stage_ >= 0 && i != only_stage_) continue;
    TAMER_ASSIGN_OR_RETURN(const bool finished, RunStage(i, only_mode_));
    if (!finished) return result;
    TAMER_ASSIGN_OR_RETURN(const ProductInfo product,
                           NewestProduct(path_, stage(i).name()));
    result.product = product.path;
  }
  // What a kill while a stage ended may have left.
  RemoveRolling(path_);
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
