#include "core/train/products.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "core/train/files.h"

namespace tamer {
namespace {

constexpr char kSuffix[] = ".product";
constexpr char kStateFile[] = "state.safetensors";

// RUN and NAME of RUN/NAME; trailing slashes don't count.
std::pair<std::string, std::string> SplitPath(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, std::max<size_t>(slash, 1)), path.substr(slash + 1)};
}

// The identifier that a folder's name claims, or "".
std::string ClaimedId(const std::string& path) {
  const std::string name(absl::StripSuffix(SplitPath(path).second, kSuffix));
  const size_t dash = name.find_last_of('-');
  if (dash == std::string::npos) return "";
  const std::string id = name.substr(dash + 1);
  const bool hexadecimal =
      id.find_first_not_of("0123456789abcdef") == std::string::npos;
  return id.size() == kIdLength && hexadecimal ? id : "";
}

absl::StatusOr<ProductInfo> ReadInfo(const std::string& path) {
  ProductInfo info;
  info.path = path;
  std::string bytes;
  TAMER_ASSIGN_OR_RETURN(info.manifest, LoadManifest(path, &bytes));
  info.id = Sha256({bytes}).substr(0, kIdLength);
  const std::string claimed = ClaimedId(path);
  if (!claimed.empty() && claimed != info.id) {
    return Invalid(path, ": its content is that of product ", info.id,
                   ", not what its name says: it was changed");
  }
  return info;
}

absl::StatusOr<TensorFile> ReadVerified(const std::string& file,
                                        const std::string& sha256) {
  TAMER_ASSIGN_OR_RETURN(TensorFile tensors, ReadTensors(file, true));
  if (tensors.sha256 != sha256) {
    return Invalid(file,
                   ": its checksum is not the manifest's: the file is damaged");
  }
  return tensors;
}

absl::StatusOr<ProductInfo> FindBase(const ProductInfo& info) {
  const ManifestDef& manifest = info.manifest;
  const std::string beside = SplitPath(info.path).first;
  for (const std::string& folder : {beside, manifest.base_path()}) {
    for (ProductInfo& found : ListProducts(folder)) {
      if (found.id == manifest.base_id()) return std::move(found);
    }
  }
  return absl::NotFoundError(absl::StrCat(
      info.path, " holds adapters of product ", manifest.base_id(),
      ", which stands neither beside it nor in ", manifest.base_path(),
      "; bring it there, or use an exported product"));
}

// W + scale * A B for each adapter in `adapters`, into the base's own memory.
absl::Status MergeAdapters(const TensorFile& adapters, float scale,
                           LoadedProduct* base) {
  for (const auto& entry : adapters.tensors) {
    if (!absl::EndsWith(entry.first, AdapterA(""))) {
      if (!absl::EndsWith(entry.first, AdapterB(""))) {
        base->tensors[entry.first] = entry.second;
      }
      continue;
    }
    const std::string node(absl::StripSuffix(entry.first, AdapterA("")));
    const auto weight = base->tensors.find(node + "/weight");
    const auto second = adapters.tensors.find(AdapterB(node));
    const Tensor& a = entry.second;
    if (weight == base->tensors.end() || second == adapters.tensors.end() ||
        a.shape.rank() != 2 || second->second.shape.rank() != 2 ||
        weight->second.shape !=
            Shape({a.shape.dim(0), second->second.shape.dim(1)}) ||
        a.shape.dim(1) != second->second.shape.dim(0)) {
      return Invalid(base->info.path, ": the adapter of \"", node,
                     "\" doesn't fit it");
    }
    const int64_t rank = a.shape.dim(1), units = weight->second.shape.dim(1);
    for (int64_t i = 0; i < a.shape.dim(0); ++i) {
      float* row = weight->second.floats() + i * units;
      for (int64_t r = 0; r < rank; ++r) {
        const float factor = scale * a.floats()[i * rank + r];
        const float* b = second->second.floats() + r * units;
        for (int64_t j = 0; j < units; ++j) row[j] += factor * b[j];
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string AdapterA(const std::string& node) { return node + "/lora_a"; }
std::string AdapterB(const std::string& node) { return node + "/lora_b"; }

absl::StatusOr<ProductInfo> SaveProduct(
    const std::string& run, ManifestDef manifest,
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, Tensor>& state) {
  const std::string temporary = JoinPath(run, "product.tmp");
  RemoveFolder(temporary);
  TAMER_RETURN_IF_ERROR(MakeFolder(temporary));
  auto write = [&]() -> absl::StatusOr<ProductInfo> {
    TAMER_ASSIGN_OR_RETURN(
        const TensorFileSummary summary,
        WriteTensors(JoinPath(temporary, kTensorsFile), tensors, true));
    manifest.set_tensors_bytes(summary.bytes);
    manifest.set_tensors_crc32(summary.crc32);
    manifest.set_tensors_sha256(summary.sha256);
    if (!state.empty()) {
      TAMER_ASSIGN_OR_RETURN(
          const TensorFileSummary second,
          WriteTensors(JoinPath(temporary, kStateFile), state, true));
      manifest.set_state_sha256(second.sha256);
    }
    StampVersions(&manifest);
    const std::string bytes = EncodeManifest(manifest);
    TAMER_RETURN_IF_ERROR(
        WriteSynced(JoinPath(temporary, kManifestFile), {bytes}));
    ProductInfo info;
    info.id = Sha256({bytes}).substr(0, kIdLength);
    info.path =
        JoinPath(run, absl::StrCat(manifest.stage(), "-", info.id, kSuffix));
    info.manifest = manifest;
    if (!Exists(info.path)) {
      TAMER_RETURN_IF_ERROR(RenameSynced(temporary, info.path));
    }
    return info;
  };
  auto info = write();
  RemoveFolder(temporary);
  return info;
}

std::vector<ProductInfo> ListProducts(const std::string& run,
                                      std::string* complaint) {
  std::vector<ProductInfo> products;
  for (const std::string& name : ListFolder(run)) {
    if (!absl::EndsWith(name, kSuffix)) continue;
    auto info = ReadInfo(JoinPath(run, name));
    if (info.ok()) {
      products.push_back(*std::move(info));
    } else if (complaint != nullptr) {
      absl::StrAppend(complaint, info.status().message(), "\n");
    }
  }
  std::sort(products.begin(), products.end(),
            [](const ProductInfo& a, const ProductInfo& b) {
              return std::make_tuple(a.manifest.stage(),
                                     a.manifest.generation(), a.id) <
                     std::make_tuple(b.manifest.stage(),
                                     b.manifest.generation(), b.id);
            });
  return products;
}

absl::StatusOr<ProductInfo> NewestProduct(const std::string& run,
                                          const std::string& stage) {
  std::string complaint;
  std::vector<ProductInfo> products = ListProducts(run, &complaint);
  for (auto it = products.rbegin(); it != products.rend(); ++it) {
    if (it->manifest.stage() == stage) return std::move(*it);
  }
  return absl::NotFoundError(
      absl::StrCat(run, " holds no product of stage \"", stage, "\"",
                   complaint.empty() ? "" : "; passed over: ", complaint));
}

absl::StatusOr<ProductInfo> FindProduct(const std::string& path) {
  if (Exists(JoinPath(path, kManifestFile))) {
    TAMER_ASSIGN_OR_RETURN(ProductInfo info, ReadInfo(path));
    if (info.manifest.has_tensors_sha256()) return info;
    return Invalid(path,
                   " is a checkpoint of a stage that isn't finished, "
                   "not a product; `tamer train` of its run goes on with it");
  }
  const auto parts = SplitPath(path);
  const std::string run = parts.first.empty() ? "." : parts.first;
  const std::string name(absl::StripSuffix(parts.second, kSuffix));
  std::vector<ProductInfo> products = ListProducts(run);
  for (auto it = products.rbegin(); it != products.rend(); ++it) {
    const bool by_id = name.size() >= 4 && absl::StartsWith(it->id, name);
    if (it->manifest.stage() == name || by_id) return std::move(*it);
  }
  return absl::NotFoundError(absl::StrCat(
      path, " is neither a product nor a run directory: it holds neither ",
      kManifestFile, " nor run.pbtxt, and ", run, " has no product whose ",
      "stage or identifier is \"", name, "\""));
}

absl::StatusOr<LoadedProduct> LoadProduct(const ProductInfo& info) {
  TAMER_ASSIGN_OR_RETURN(TensorFile file,
                         ReadVerified(JoinPath(info.path, kTensorsFile),
                                      info.manifest.tensors_sha256()));
  LoadedProduct product;
  if (!info.manifest.has_base_id()) {
    product.info = info;
    product.tensors = file.tensors;
    product.files.push_back(std::move(file));
    return product;
  }
  TAMER_ASSIGN_OR_RETURN(const ProductInfo base, FindBase(info));
  TAMER_ASSIGN_OR_RETURN(product, LoadProduct(base));
  product.info = info;
  TAMER_RETURN_IF_ERROR(
      MergeAdapters(file, info.manifest.adapter_scale(), &product));
  product.info.manifest.clear_base_id();
  product.files.push_back(std::move(file));
  return product;
}

absl::StatusOr<TensorFile> LoadState(const ProductInfo& info) {
  const std::string file = JoinPath(info.path, kStateFile);
  if (!info.manifest.has_state_sha256() || !Exists(file)) return TensorFile();
  return ReadVerified(file, info.manifest.state_sha256());
}

}  // namespace tamer
