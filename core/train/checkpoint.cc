#include "core/train/checkpoint.h"

#include <unistd.h>

#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "core/base/version.h"
#include "core/graph/text.h"
#include "core/train/files.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace tamer {
namespace {

constexpr char kRolling[] = "rolling-";
constexpr char kTemporary[] = ".tmp";

absl::Status DecodeManifest(const std::string& bytes, ManifestDef* manifest) {
  uint32_t crc = 0;
  if (bytes.size() < sizeof(crc)) return Invalid("cut short");
  const absl::string_view body(bytes.data(), bytes.size() - sizeof(crc));
  bytes.copy(reinterpret_cast<char*>(&crc), sizeof(crc), body.size());
  if (Crc32(0, body) != crc) {
    return Invalid("its checksum is wrong: damaged, or not a manifest");
  }
  if (!manifest->ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return Invalid("not a manifest");
  }
  if (manifest->format_version() > kCheckpointFormatVersion) {
    return Invalid("format_version ", manifest->format_version(),
                   " is newer than this binary's ", kCheckpointFormatVersion,
                   "; use the Tamer that wrote it, version ",
                   manifest->tamer_version(), ", or a newer one");
  }
  return absl::OkStatus();
}

// The same bytes for the same content, whatever the order of maps in memory.
std::string Serialized(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// Under another name first, so that a kill leaves no half of a checkpoint.
void RemoveCheckpoint(const std::string& path) {
  if (absl::EndsWith(path, kTemporary)) {
    RemoveFolder(path);
  } else if (std::rename(path.c_str(), (path + kTemporary).c_str()) == 0) {
    RemoveFolder(path + kTemporary);
  }
}

struct Rolling {
  int64_t number;
  std::string path;
};

// Newest first.
std::vector<Rolling> ListRolling(const std::string& run) {
  std::vector<Rolling> found;
  for (const std::string& name : ListFolder(run)) {
    int64_t number = 0;
    if (absl::StartsWith(name, kRolling) &&
        absl::SimpleAtoi(name.substr(sizeof(kRolling) - 1), &number)) {
      found.insert(found.begin(), {number, JoinPath(run, name)});
    }
  }
  return found;
}

}  // namespace

// A manifest ends in the CRC-32 of what stands before, four bytes: a flipped
// bit is then seen even where it would still parse.
std::string EncodeManifest(const ManifestDef& manifest) {
  std::string bytes = Serialized(manifest);
  const uint32_t crc = Crc32(0, bytes);
  bytes.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return bytes;
}

bool SameMessage(const google::protobuf::Message& a,
                 const google::protobuf::Message& b) {
  return Serialized(a) == Serialized(b);
}

void StampVersions(ManifestDef* manifest) {
  manifest->set_format_version(kCheckpointFormatVersion);
  manifest->set_tamer_version(kVersion);
}

absl::StatusOr<ManifestDef> LoadManifest(const std::string& path,
                                         std::string* bytes) {
  const std::string file = JoinPath(path, kManifestFile);
  TAMER_ASSIGN_OR_RETURN(const std::string content, ReadFile(file));
  ManifestDef manifest;
  TAMER_RETURN_IF_ERROR(Annotate(DecodeManifest(content, &manifest), file));
  if (bytes != nullptr) *bytes = content;
  return manifest;
}

absl::Status SaveCheckpoint(const std::string& path, ManifestDef manifest,
                            const std::map<std::string, Tensor>& tensors) {
  if (Exists(path)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists; a checkpoint is never overwritten"));
  }
  const std::string temporary = path + kTemporary;
  RemoveFolder(temporary);
  TAMER_RETURN_IF_ERROR(MakeFolder(temporary));
  auto write = [&]() -> absl::Status {
    TAMER_ASSIGN_OR_RETURN(
        const TensorFileSummary summary,
        WriteTensors(JoinPath(temporary, kTensorsFile), tensors));
    StampVersions(&manifest);
    manifest.set_tensors_bytes(summary.bytes);
    manifest.set_tensors_crc32(summary.crc32);
    TAMER_RETURN_IF_ERROR(WriteSynced(JoinPath(temporary, kManifestFile),
                                      {EncodeManifest(manifest)}));
    return RenameSynced(temporary, path);
  };
  const absl::Status status = write();
  if (!status.ok()) RemoveFolder(temporary);
  return status;
}

absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path) {
  Checkpoint checkpoint;
  TAMER_ASSIGN_OR_RETURN(checkpoint.manifest, LoadManifest(path));
  TAMER_ASSIGN_OR_RETURN(checkpoint.file,
                         ReadTensors(JoinPath(path, kTensorsFile)));
  if (checkpoint.file.crc32 != checkpoint.manifest.tensors_crc32() ||
      checkpoint.file.bytes != checkpoint.manifest.tensors_bytes()) {
    return Invalid(JoinPath(path, kTensorsFile),
                   ": its checksum is not the manifest's: the file is damaged");
  }
  return checkpoint;
}

absl::Status SaveRolling(const std::string& run, const ManifestDef& manifest,
                         const std::map<std::string, Tensor>& tensors,
                         int keep) {
  const std::vector<Rolling> before = ListRolling(run);
  const int64_t number = before.empty() ? 1 : before[0].number + 1;
  TAMER_RETURN_IF_ERROR(
      SaveCheckpoint(JoinPath(run, absl::StrFormat("%s%09d", kRolling, number)),
                     manifest, tensors));
  for (size_t i = keep - 1; i < before.size(); ++i) {
    RemoveCheckpoint(before[i].path);
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> LoadRolling(const std::string& run,
                                       std::string* complaint) {
  for (const Rolling& rolling : ListRolling(run)) {
    auto checkpoint = LoadCheckpoint(rolling.path);
    if (checkpoint.ok()) return checkpoint;
    absl::StrAppend(complaint, checkpoint.status().message(), "\n");
  }
  return absl::NotFoundError(
      absl::StrCat(run, ": no sound rolling checkpoint"));
}

void RemoveRolling(const std::string& run) {
  for (const std::string& name : ListFolder(run)) {
    if (absl::StartsWith(name, kRolling)) RemoveCheckpoint(JoinPath(run, name));
  }
}

}  // namespace tamer
