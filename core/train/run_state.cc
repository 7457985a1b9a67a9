#include "core/train/run_state.h"

#include "core/train/run_folder.h"

namespace tamer {

PretrainLayer Resolved(PretrainLayer layer, const TrainingData& data) {
  if (layer.has_labels() && !layer.labels().has_classes()) {
    layer.mutable_labels()->set_classes(data.train->classes());
  }
  return layer;
}

ManifestDef RunState::NewManifest(const StageDef& stage,
                                  const TrainingData& data) const {
  ManifestDef manifest;
  *manifest.mutable_graph() = network.ToDef();
  *manifest.mutable_recipe() = WithoutMachine(recipe.def);
  manifest.set_stage(stage.name());
  manifest.set_generation(progress.generation());
  if (!parent.id.empty()) {
    manifest.set_parent(parent.manifest.stage());
    manifest.set_parent_id(parent.id);
  }
  if (stage.finetune().has_adapters()) {
    manifest.set_base_path(parent.path.substr(0, parent.path.rfind('/')));
  }
  const DataDef& def = DataOf(recipe.def, stage);
  if (def.scale() == STANDARDIZE) {
    for (float mean : data.scaling.mean) manifest.add_feature_mean(mean);
    for (float factor : data.scaling.factor) {
      manifest.add_feature_factor(factor);
    }
  }
  if (!data.train->pieces.empty()) manifest.set_pieces(data.train->pieces);
  for (const std::string& name : data.train->class_names) {
    manifest.add_class_name(name);
  }
  return manifest;
}

absl::Status RunState::Save(const StageDef& stage,
                            const TrainingData& data) const {
  ManifestDef manifest = NewManifest(stage, data);
  *manifest.mutable_progress() = progress;
  if (histograms != nullptr) {
    manifest.mutable_progress()->set_histograms_bytes(histograms->bytes());
  }
  return SaveRolling(path, manifest, variables->all(),
                     recipe.def.keep_checkpoints());
}

void RunState::BeginLayer(int layer) {
  ProgressDef next;
  next.set_stage(progress.stage());
  next.set_generation(progress.generation());
  next.set_continuing(progress.continuing());
  *next.mutable_done() = progress.done();
  *next.mutable_fresh() = progress.fresh();
  *next.mutable_finished() = progress.finished();
  next.set_layer(layer);
  if (layer < progress.done_size()) {
    next.set_epoch(progress.done(layer).epochs());
    next.set_step(progress.done(layer).steps());
  }
  progress = next;
}

}  // namespace tamer
