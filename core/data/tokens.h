#ifndef TAMER_CORE_DATA_TOKENS_H_
#define TAMER_CORE_DATA_TOKENS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "proto/recipe.pb.h"

namespace tamer {

// How text becomes tokens, numbers from 0 to vocabulary() - 1, and back.
// Immutable; safe to use from many threads.
class Tokens {
 public:
  virtual ~Tokens() = default;
  virtual int32_t vocabulary() const = 0;
  // Appends the tokens of `text` to `ids`, at most the first `most`; 0: all.
  virtual absl::Status Encode(absl::string_view text, int64_t most,
                              std::vector<int32_t>* ids) const = 0;
  // The text that `ids` stand for; padding (-1) is nothing.
  virtual absl::StatusOr<std::string> Decode(
      const std::vector<int32_t>& ids) const = 0;
};

// Bytes, or with the bytes of a SentencePiece model's file the pieces of that.
// Lines and the line feeds between them become pieces apart.
absl::StatusOr<std::unique_ptr<Tokens>> MakeTokens(const std::string& model);

// The bytes of the model's file that `source` names, or "". Relative file names
// start from `folder`.
absl::StatusOr<std::string> ReadPieces(const TextSource& source,
                                       const std::string& folder);

// Learns a byte-pair model of `vocabulary` pieces from the files of text, for
// MakeTokens.
absl::StatusOr<std::string> TrainPieces(const std::vector<std::string>& files,
                                        int64_t vocabulary);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_TOKENS_H_
