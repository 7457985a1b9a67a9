#ifndef TAMER_CORE_TRAIN_PRODUCTS_H_
#define TAMER_CORE_TRAIN_PRODUCTS_H_

#include <map>
#include <string>
#include <vector>

#include "core/train/checkpoint.h"

// A product is a finished stage's checkpoint, RUN/STAGE-ID.product: the ID is
// the beginning of the SHA-256 of its manifest, which holds that of its
// tensors, so a name stands for one content for good. Nothing here changes a
// product. Continuing or repeating a stage makes another product, of the next
// generation.

namespace tamer {

// Characters of an identifier.
inline constexpr int kIdLength = 12;

struct ProductInfo {
  std::string path;
  std::string id;
  ManifestDef manifest;
};

// Writes a product and returns what it became. `state`, which may be empty,
// goes to state.safetensors. If the same product is there already, nothing is
// written.
absl::StatusOr<ProductInfo> SaveProduct(
    const std::string& run, ManifestDef manifest,
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, Tensor>& state);

// The products in folder `run` whose manifests are sound, oldest generation
// first within a stage, stages by name. Why others were passed over is appended
// to `complaint`, if that is not null.
std::vector<ProductInfo> ListProducts(const std::string& run,
                                      std::string* complaint = nullptr);

// The newest generation of a stage's product; NotFound if there is none.
absl::StatusOr<ProductInfo> NewestProduct(const std::string& run,
                                          const std::string& stage);

// The product that `path` means: its folder; RUN/STAGE or RUN/STAGE.product for
// a stage's newest; RUN/ID for the beginning of an identifier.
absl::StatusOr<ProductInfo> FindProduct(const std::string& path);

// Reads all parameters of a product and verifies them against its identifier.
// Adapters come merged into what they adapt: the manifest and tensors are then
// those of a product without.
struct LoadedProduct {
  ProductInfo info;
  std::map<std::string, Tensor> tensors;
  std::vector<TensorFile> files;  // whose memory the tensors use
};
absl::StatusOr<LoadedProduct> LoadProduct(const ProductInfo& info);

// The state to continue a product's stage with; none if it was left behind.
absl::StatusOr<TensorFile> LoadState(const ProductInfo& info);

// What a low-rank adapter of NODE is called.
std::string AdapterA(const std::string& node);
std::string AdapterB(const std::string& node);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_PRODUCTS_H_
