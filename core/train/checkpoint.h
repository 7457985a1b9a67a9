#ifndef TAMER_CORE_TRAIN_CHECKPOINT_H_
#define TAMER_CORE_TRAIN_CHECKPOINT_H_

#include <map>
#include <string>

#include "core/base/status.h"
#include "core/base/tensor.h"
#include "core/train/safetensors.h"
#include "proto/checkpoint.pb.h"

// A checkpoint is a folder: manifest.pb (ManifestDef) and tensors.safetensors.
// It appears whole under its name or not at all. A rolling one lets an
// interrupted run continue; a product (products.h) is a finished stage's.

namespace tamer {

// The newest ManifestDef.format_version that this binary understands.
inline constexpr int kCheckpointFormatVersion = 1;

struct Checkpoint {
  ManifestDef manifest;
  TensorFile file;
};

// Writes folder `path`, which must not exist. Fills the manifest's versions and
// checksums. The same content always gives the same bytes.
absl::Status SaveCheckpoint(const std::string& path, ManifestDef manifest,
                            const std::map<std::string, Tensor>& tensors);

// Reads one and verifies versions and checksums.
absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path);

// The parts of these, for products. Encoded manifests end in a checksum.
// Whether two messages of one type say the same.
bool SameMessage(const google::protobuf::Message& a,
                 const google::protobuf::Message& b);
void StampVersions(ManifestDef* manifest);
std::string EncodeManifest(const ManifestDef& manifest);
absl::StatusOr<ManifestDef> LoadManifest(const std::string& path,
                                         std::string* bytes = nullptr);
inline constexpr char kManifestFile[] = "manifest.pb";
inline constexpr char kTensorsFile[] = "tensors.safetensors";

// Rolling checkpoints are RUN/rolling-NUMBER, higher is newer. Saving removes
// all but the newest `keep`; loading takes the newest one that is sound and, if
// a newer one was not, appends why to `complaint`. NotFound if there is none.
absl::Status SaveRolling(const std::string& run, const ManifestDef& manifest,
                         const std::map<std::string, Tensor>& tensors,
                         int keep = 2);
absl::StatusOr<Checkpoint> LoadRolling(const std::string& run,
                                       std::string* complaint);
void RemoveRolling(const std::string& run);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_CHECKPOINT_H_
