#ifndef TAMER_CORE_TRAIN_RECIPE_H_
#define TAMER_CORE_TRAIN_RECIPE_H_

#include <memory>
#include <string>
#include <vector>

#include "core/data/augment.h"
#include "core/data/dataset.h"
#include "core/graph/graph.h"
#include "proto/recipe.pb.h"

namespace tamer {

// The newest RecipeDef.format_version that this binary understands.
inline constexpr int kRecipeFormatVersion = 1;

// A recipe and the folder from which its file names start.
struct Recipe {
  RecipeDef def;
  std::string file;
  std::string folder;
};

// Reads a recipe, applies `overrides` ("path=value", see override.h) and checks
// all that can be known without data or network. Every fault is listed, a line
// each.
absl::StatusOr<Recipe> LoadRecipe(const std::string& path,
                                  const std::vector<std::string>& overrides,
                                  const OpRegistry& registry);

// The checks alone, in messages that begin with `file`.
absl::Status CheckRecipe(const RecipeDef& def, const std::string& file);

// The index of the stage that stage `index` starts from, or -1 if it starts
// from initial values.
absl::StatusOr<int> ParentStage(const RecipeDef& def, int index);

// What a stage says itself, or else its recipe: data, samples in a minibatch,
// minibatches before an update.
const DataDef& DataOf(const RecipeDef& recipe, const StageDef& stage);
int64_t BatchOf(const RecipeDef& recipe, const StageDef& stage);
int AccumulateOf(const RecipeDef& recipe, const StageDef& stage);

// What a recipe's data section names, read, split and ready to scale. Parts
// that it doesn't name are null. `registry` knows the readers of plugins.
struct TrainingData {
  std::shared_ptr<const Dataset> train, validation, test;
  FeatureScaling scaling;
  // Changes training samples at random; null if the recipe asks for nothing.
  std::shared_ptr<const Augmenter> augment;
  // Whether each sample is changed by itself, and whether they are mixed.
  bool changes() const { return augment != nullptr && augment->changes(); }
  bool mixes() const { return augment != nullptr && augment->mixes(); }
};
absl::StatusOr<TrainingData> LoadData(const Recipe& recipe,
                                      const OpRegistry* registry = nullptr);

// The same of a stage, which may have data of its own.
absl::StatusOr<TrainingData> LoadStageData(const Recipe& recipe,
                                           const StageDef& stage,
                                           const OpRegistry* registry);

// SHA-256 of samples and labels.
std::string Fingerprint(const Dataset& data);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_RECIPE_H_
