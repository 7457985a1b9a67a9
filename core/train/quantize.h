#ifndef TAMER_CORE_TRAIN_QUANTIZE_H_
#define TAMER_CORE_TRAIN_QUANTIZE_H_

#include <memory>

#include "core/data/dataset.h"
#include "core/train/product.h"

namespace tamer {

// What predicts as `product` does, in 8-bit integers: its Dense layers of 4,096
// weights or more become QuantizedDense, whose inputs' ranges are those seen on
// up to 1,000 samples of `data`, evenly spread over it. `data` is as the
// product's training data, not yet scaled; labels aren't needed.
//
// The result's manifest names `product` as its parent and has none of the
// metrics on test data, which were another network's. It has no state to
// continue with and cannot be trained further.
//
// Errors: a pretrained product whose network is not yet trained to its end, no
// layer to quantize, data of another shape, and numbers that are not finite.
absl::StatusOr<std::unique_ptr<Product>> QuantizeProduct(Product* product,
                                                         const Dataset& data);

// Whether QuantizeProduct made the product that this describes.
bool IsQuantized(const ManifestDef& manifest);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_QUANTIZE_H_
