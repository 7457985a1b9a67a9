#ifndef TAMER_TOOLS_TEXT_PRODUCTS_H_
#define TAMER_TOOLS_TEXT_PRODUCTS_H_

#include <nlohmann/json.hpp>

#include "core/train/products.h"

namespace tamer {

// Epochs of a product's stage, over all generations that continue one another.
int64_t EpochsOf(const ManifestDef& manifest);

// Identifier, stage, generation, parent, epochs, data and metrics of a product.
nlohmann::ordered_json ProductJson(const ProductInfo& info);

}  // namespace tamer

#endif  // TAMER_TOOLS_TEXT_PRODUCTS_H_
