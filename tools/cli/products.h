#ifndef TAMER_TOOLS_CLI_PRODUCTS_H_
#define TAMER_TOOLS_CLI_PRODUCTS_H_

#include <nlohmann/json.hpp>

#include "core/train/products.h"

namespace tamer {

// Identifier, stage, generation, parent, epochs, data and metrics of a product.
nlohmann::ordered_json ProductJson(const ProductInfo& info);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_PRODUCTS_H_
