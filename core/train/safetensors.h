#ifndef TAMER_CORE_TRAIN_SAFETENSORS_H_
#define TAMER_CORE_TRAIN_SAFETENSORS_H_

#include <map>
#include <string>

#include "core/base/status.h"
#include "core/base/tensor.h"

// The safetensors format: eight bytes of header length, a JSON header that
// tells each tensor's type, shape and place, then the data. Every other
// framework reads it, and nothing in it can run.

namespace tamer {

// Named tensors in one piece of memory that they own.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  Buffer memory;
  uint32_t crc32 = 0;  // of the whole file
  int64_t bytes = 0;
  std::string sha256;  // if asked for
};

// Writes and syncs `path`; the same tensors always give the same bytes. Returns
// the file's length and CRC-32.
struct TensorFileSummary {
  int64_t bytes = 0;
  uint32_t crc32 = 0;
  std::string sha256;  // if asked for by `digest`
};
absl::StatusOr<TensorFileSummary> WriteTensors(
    const std::string& path, const std::map<std::string, Tensor>& tensors,
    bool digest = false);

// Reads a file written by anybody. Lengths, types, shapes and offsets are
// checked against the file's size before memory is taken. Types other than F32,
// I32, U8 and I8 are refused.
absl::StatusOr<TensorFile> ReadTensors(const std::string& path,
                                       bool digest = false);

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_SAFETENSORS_H_
