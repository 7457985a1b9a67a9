#include "tools/cli/source.h"

#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "core/base/suggest.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/train/files.h"
#include "core/train/product.h"

namespace tamer {
namespace {

bool IsFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
}

// A recipe is the file that names its network.
bool LooksLikeRecipe(const std::string& text) {
  return absl::StrContains(text, "graph_file");
}

const SolverDef& SolverOf(const StageDef& stage, const PretrainLayer& layer) {
  return layer.has_solver() ? layer.solver() : stage.solver();
}

}  // namespace

absl::StatusOr<NamedNetwork> OpenNetwork(const std::string& path,
                                         const OpRegistry& registry) {
  NamedNetwork named(&registry);
  if (!IsFile(path)) {
    auto opened = OpenProduct(path, registry);
    // What is neither file nor product was meant as a file, by its name.
    if (!opened.ok() && absl::EndsWith(path, ".pbtxt")) {
      return ReadFile(path).status();
    }
    TAMER_ASSIGN_OR_RETURN(auto product, std::move(opened));
    named.network = product->network;
    named.recipe = Recipe{product->manifest.recipe(), path, product->folder};
    named.has_recipe = true;
    named.product = {product->path, product->id, product->manifest};
    return named;
  }
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  if (!LooksLikeRecipe(text)) {
    TAMER_ASSIGN_OR_RETURN(named.network, LoadGraph(path, &registry));
    return named;
  }
  TAMER_ASSIGN_OR_RETURN(named.recipe, LoadRecipe(path, {}, registry));
  named.has_recipe = true;
  TAMER_ASSIGN_OR_RETURN(
      named.network,
      LoadGraph(JoinPath(named.recipe.folder, named.recipe.def.graph_file()),
                &registry));
  return named;
}

absl::StatusOr<std::shared_ptr<const Dataset>> ProductData(
    const Product& product, const std::string& split, const std::string& text,
    const OpRegistry& registry) {
  if (!text.empty()) {
    DataSource source;
    TAMER_RETURN_IF_ERROR(ParseText(text, "--data", registry, &source));
    TAMER_ASSIGN_OR_RETURN(auto data, ReadDataset(source, "", &registry));
    const auto& names = product.manifest.class_name();
    return WithClasses(std::move(data), {names.begin(), names.end()});
  }
  Recipe recipe{product.manifest.recipe(), product.path, product.folder};
  TAMER_ASSIGN_OR_RETURN(const TrainingData data,
                         LoadStageData(recipe, product.stage(), &registry));
  const auto& found = split == "test"         ? data.test
                      : split == "validation" ? data.validation
                                              : data.train;
  if (found != nullptr) return found;
  return Invalid("the recipe of ", product.path, " names no ", split,
                 " data; give some by --data, or another --split");
}

std::vector<std::string> PassNames(const NamedNetwork& named) {
  std::vector<std::string> names = {"infer"};
  for (const StageDef& stage : named.recipe.def.stage()) {
    if (stage.has_finetune()) names.push_back(stage.name());
    for (const PretrainLayer& layer : stage.pretrain().layer()) {
      names.push_back(absl::StrCat(stage.name(), "/", layer.node()));
    }
  }
  return names;
}

absl::StatusOr<Graph> AfterPass(const NamedNetwork& named,
                                const std::string& pass) {
  if (pass == "infer") return Infer(named.network);
  for (const StageDef& stage : named.recipe.def.stage()) {
    if (stage.has_finetune() && stage.name() == pass) {
      const bool mixed = DataOf(named.recipe.def, stage).augment().has_mixup();
      return Finetune(named.network, stage.finetune(), stage.solver(), 1,
                      mixed);
    }
    for (const PretrainLayer& layer : stage.pretrain().layer()) {
      if (absl::StrCat(stage.name(), "/", layer.node()) == pass) {
        return Pretrain(named.network, layer, SolverOf(stage, layer));
      }
    }
  }
  const auto names = PassNames(named);
  return Invalid("--after ", pass, ": there is no such pass",
                 DidYouMean(pass, names), " (there are ",
                 absl::StrJoin(names, ", "),
                 named.has_recipe ? ")" : "; a recipe would give more)");
}

const StageDef& StageOf(const RecipeDef& recipe, const std::string& pass) {
  for (const StageDef& stage : recipe.stage()) {
    if (stage.name() == pass.substr(0, pass.find('/'))) return stage;
  }
  return StageDef::default_instance();
}

}  // namespace tamer
