#ifndef TAMER_TOOLS_CLI_SOURCE_H_
#define TAMER_TOOLS_CLI_SOURCE_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/train/product.h"
#include "core/train/recipe.h"

namespace tamer {

// A network as the command line names it: by a network file, by a recipe (then
// with that), or by a product or run directory.
struct NamedNetwork {
  Graph network;
  bool has_recipe = false;
  Recipe recipe;
  // Without an identifier if no product was named.
  ProductInfo product;

  explicit NamedNetwork(const OpRegistry* registry) : network(registry) {}
};
absl::StatusOr<NamedNetwork> OpenNetwork(const std::string& path,
                                         const OpRegistry& registry);

// The data of a product's stage, split being train, validation or test; or if
// `text` is not "", those that it names as a recipe would, from the current
// folder.
absl::StatusOr<std::shared_ptr<const Dataset>> ProductData(
    const Product& product, const std::string& split, const std::string& text,
    const OpRegistry& registry);

// The network after a pass: "infer"; or of the recipe, "STAGE" for the graph
// that fine-tuning trains, "STAGE/LAYER" for a pretraining layer's.
absl::StatusOr<Graph> AfterPass(const NamedNetwork& named,
                                const std::string& pass);

// The names that AfterPass takes, "infer" first.
std::vector<std::string> PassNames(const NamedNetwork& named);

// The stage that a pass is of; an empty one for "infer".
const StageDef& StageOf(const RecipeDef& recipe, const std::string& pass);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_SOURCE_H_
