#include "core/data/tokens.h"

#include <algorithm>

namespace tamer {
namespace {

class ByteTokens : public Tokens {
 public:
  int32_t vocabulary() const override { return 256; }

  absl::Status Encode(absl::string_view text, int64_t most,
                      std::vector<int32_t>* ids) const override {
    if (most > 0) text = text.substr(0, most);
    ids->reserve(ids->size() + text.size());
    for (char c : text) ids->push_back(static_cast<uint8_t>(c));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Decode(
      const std::vector<int32_t>& ids) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id == -1) continue;
      if (id < 0 || id > 255) return Invalid("token ", id, " is no byte");
      text += static_cast<char>(id);
    }
    return text;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokens>> OpenTokens(const TextSource&,
                                                   const std::string&) {
  return std::unique_ptr<Tokens>(new ByteTokens);
}

}  // namespace tamer
