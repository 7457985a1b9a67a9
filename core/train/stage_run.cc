#include "core/train/stage_run.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "core/passes/passes.h"
#include "core/train/evaluate.h"
#include "core/train/monitor.h"
#include "core/train/pretraining.h"

namespace tamer {
namespace {

// What a phase leaves beside the product waits under this prefix and the
// phase's number for the day its stage is continued.
constexpr char kState[] = "state/";

void AddMetric(const std::string& name, double value, ManifestDef* manifest) {
  MetricDef* metric = manifest->add_metric();
  metric->set_name(name);
  metric->set_value(value);
}

}  // namespace

Phase StageRun::NewPhase() {
  Phase phase;
  phase.stage = stage_.name();
  phase.data = data_.train;
  phase.scaling = data_.scaling;
  phase.augment = data_.augment;
  phase.buckets = DataOf(run_.recipe.def, stage_).buckets();
  phase.solver = stage_.solver();
  phase.batch = BatchOf(run_.recipe.def, stage_);
  phase.seed = run_.recipe.def.seed();
  phase.parallel_branches = run_.recipe.def.threads().inter_op() > 1;
  phase.step = StepOptionsOf(run_.recipe.def, stage_);
  phase.checkpoint_every_seconds = run_.recipe.def.checkpoint_every_seconds();
  phase.checkpoint_every_steps = run_.recipe.def.checkpoint_every_steps();
  phase.group = run_.group;
  phase.parallel = run_.recipe.def.parallel();
  phase.save = [this](const ProgressDef&) { return run_.Save(stage_, data_); };
  // What an earlier generation of this layer left.
  const std::string prefix = absl::StrCat(kState, run_.progress.layer(), "/");
  std::vector<std::string> kept;
  for (const auto& entry : run_.variables->all()) {
    if (absl::StartsWith(entry.first, prefix)) kept.push_back(entry.first);
  }
  for (const std::string& name : kept) {
    run_.variables->Rename(name, name.substr(prefix.size()));
  }
  return phase;
}

absl::Status StageRun::KeepHistograms(const Graph& network, Phase* phase) {
  if (run_.histograms == nullptr) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(
      histograms_, Histograms::Make(network, *phase, data_.train, data_.scaling,
                                    run_.variables.get(), run_.scheduler.get(),
                                    run_.histograms.get()));
  phase->record = [this](int64_t epoch) { return histograms_->Record(epoch); };
  return absl::OkStatus();
}

bool StageRun::OfNetwork(const std::string& name) const {
  const ValueId id = run_.network.FindValue(name);
  return IsPretrained(name) ||
         (id >= 0 && run_.network.value(id).kind == Value::kVariable);
}

bool StageRun::InProduct(const std::string& name) const {
  if (finetuning_ == nullptr || finetuning_->changed.empty()) {
    return OfNetwork(name);
  }
  return finetuning_->changed.count(name) > 0;
}

// What was done goes on record, and what isn't the product's is put aside.
void StageRun::EndLayer(const std::string& prefix) {
  DoneDef* done = run_.progress.mutable_done(run_.progress.layer());
  done->set_epochs(run_.progress.epoch());
  done->set_steps(run_.progress.step());
  for (const MetricDef& last : run_.progress.last()) {
    MetricDef* finished = run_.progress.add_finished();
    finished->set_name(prefix + last.name());
    finished->set_value(last.value());
  }
  std::vector<std::string> state;
  for (const auto& entry : run_.variables->all()) {
    if (!OfNetwork(entry.first) && !InProduct(entry.first) &&
        !absl::StartsWith(entry.first, kState)) {
      state.push_back(entry.first);
    }
  }
  for (const std::string& name : state) {
    run_.variables->Rename(
        name, absl::StrCat(kState, run_.progress.layer(), "/", name));
  }
  if (stage_.has_pretrain()) run_.BeginLayer(run_.progress.layer() + 1);
}

absl::StatusOr<bool> StageRun::PretrainOne(const PretrainLayer& layer) {
  Phase phase = NewPhase();
  phase.layer = layer.node();
  // Features of the layer below may have been computed: see SetUpPretraining.
  if (!data_.changes()) phase.augment = nullptr;
  phase.epochs =
      run_.progress.done(run_.progress.layer()).epochs() +
      (layer.has_epochs() ? layer.epochs() : stage_.pretrain().epochs());
  if (layer.has_solver()) phase.solver = layer.solver();
  TAMER_ASSIGN_OR_RETURN(
      const PretrainSetup setup,
      SetUpPretraining(run_.network, layer, phase.solver, data_,
                       run_.variables.get(), run_.scheduler.get()));
  TAMER_RETURN_IF_ERROR(ApplyStartValues(setup, layer, run_.variables.get(),
                                         run_.scheduler.get()));
  phase.data = setup.train;
  phase.scaling = setup.scaling;
  phase.graphs = {{0, &setup.graph}};
  TAMER_RETURN_IF_ERROR(KeepHistograms(run_.network, &phase));
  std::unique_ptr<RbmMonitor> monitor;
  if (run_.leads() && RbmMonitor::Watches(setup, layer)) {
    TAMER_ASSIGN_OR_RETURN(monitor,
                           RbmMonitor::Make(setup, layer, run_.variables.get(),
                                            run_.scheduler.get()));
    phase.validate = [&] { return monitor->Measure(); };
  }
  return RunPhase(phase, run_.variables.get(), run_.scheduler.get(),
                  run_.log.get(), run_.observer, &run_.progress);
}

absl::StatusOr<bool> StageRun::Pretrain() {
  while (run_.progress.layer() < stage_.pretrain().layer_size()) {
    const PretrainLayer layer =
        Resolved(stage_.pretrain().layer(run_.progress.layer()), data_);
    TAMER_ASSIGN_OR_RETURN(const bool finished, PretrainOne(layer));
    if (!finished) return false;
    EndLayer(layer.node() + "/");
  }
  return true;
}

absl::StatusOr<bool> StageRun::Finetune() {
  Phase phase = NewPhase();
  phase.mix = true;
  const FinetuneDef& finetune = stage_.finetune();
  phase.epochs = run_.progress.done(0).epochs() + finetune.epochs();
  for (const auto& entry : finetuning_->graphs) {
    phase.graphs.emplace_back(entry.first, &entry.second);
  }
  TAMER_RETURN_IF_ERROR(KeepHistograms(finetuning_->network, &phase));
  if (finetune.has_early_stopping()) {
    phase.early_stopping = &finetune.early_stopping();
  }
  if (run_.leads() && data_.validation != nullptr) {
    phase.validate = [&] {
      return ValidateOn(finetuning_->network, finetune, *data_.validation,
                        data_.scaling, run_.variables.get(),
                        run_.scheduler.get());
    };
  }
  Monitor monitor(finetuning_->network, data_, run_.variables.get(),
                  run_.scheduler.get());
  const MonitorDef& monitored = run_.recipe.def.monitor();
  if (run_.leads() && monitored.on()) {
    phase.stop_on_warning = monitored.stop();
    phase.watch =
        [&](int64_t epoch) -> absl::StatusOr<std::vector<std::string>> {
      if (!Monitor::Due(epoch)) return std::vector<std::string>();
      return monitor.Look();
    };
  }
  TAMER_ASSIGN_OR_RETURN(
      const bool finished,
      RunPhase(phase, run_.variables.get(), run_.scheduler.get(),
               run_.log.get(), run_.observer, &run_.progress));
  if (finished) EndLayer("");
  return finished;
}

absl::StatusOr<bool> StageRun::Run() {
  if (stage_.has_pretrain()) return Pretrain();
  std::vector<std::string> fresh;
  for (const std::string& name : run_.progress.fresh()) {
    fresh.push_back(name.substr(0, name.find_last_of('/')));
  }
  TAMER_ASSIGN_OR_RETURN(
      FinetuneSetup setup,
      SetUpFinetuning(run_.network, stage_, data_.mixes(), fresh));
  finetuning_ = std::make_unique<FinetuneSetup>(std::move(setup));
  return Finetune();
}

// What has its initial values and had no part in a pretraining stage, and so
// has no place in its product: a head, say, that fine-tuning will train.
absl::StatusOr<std::set<std::string>> StageRun::Untrained() {
  std::set<std::string> names;
  if (!stage_.has_pretrain()) return names;
  names.insert(run_.progress.fresh().begin(), run_.progress.fresh().end());
  for (const PretrainLayer& layer : stage_.pretrain().layer()) {
    TAMER_ASSIGN_OR_RETURN(
        const Graph graph,
        tamer::Pretrain(run_.network, Resolved(layer, data_), SolverOf(layer)));
    for (ValueId id : graph.variables()) names.erase(graph.value(id).name);
  }
  return names;
}

absl::StatusOr<ProductInfo> StageRun::Finish() {
  ManifestDef manifest = run_.NewManifest(stage_, data_);
  manifest.set_data_sha256(Fingerprint(*data_.train));
  *manifest.mutable_done() = run_.progress.done();
  *manifest.mutable_metric() = run_.progress.finished();
  nlohmann::ordered_json line;
  line["stage"] = stage_.name();
  line["finished"] = true;
  if (stage_.has_finetune() && data_.test != nullptr) {
    TAMER_ASSIGN_OR_RETURN(
        const Evaluation evaluation,
        EvaluateOn(finetuning_->network, stage_.finetune(), *data_.test,
                   data_.scaling, run_.variables.get(), run_.scheduler.get()));
    for (const auto& value : evaluation.Values("test_")) {
      line[value.first] = value.second;
      AddMetric(value.first, value.second, &manifest);
    }
  }
  if (stage_.finetune().has_adapters() && !run_.parent.id.empty()) {
    manifest.set_base_id(run_.parent.id);
    manifest.set_adapter_scale(AdapterScale(stage_.finetune().adapters()));
  }
  TAMER_ASSIGN_OR_RETURN(const std::set<std::string> untrained, Untrained());
  std::map<std::string, Tensor> tensors, state;
  for (const auto& entry : run_.variables->all()) {
    if (absl::StartsWith(entry.first, kState)) {
      state.insert(entry);
    } else if (InProduct(entry.first) && untrained.count(entry.first) == 0) {
      tensors.insert(entry);
    }
  }
  TAMER_ASSIGN_OR_RETURN(ProductInfo info,
                         SaveProduct(run_.path, manifest, tensors, state));
  line["product"] = info.id;
  TAMER_RETURN_IF_ERROR(run_.log->Append(line.dump()));
  RemoveRolling(run_.path);
  return info;
}

}  // namespace tamer
