#ifndef TAMER_CORE_DATA_TEXT_H_
#define TAMER_CORE_DATA_TEXT_H_

#include <algorithm>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/tokens.h"

namespace tamer {

// Labelled texts one after another, each cut or padded to the context.
class TextAdder {
 public:
  TextAdder(const Tokens& tokens, int64_t context, int64_t limit, Dataset* data)
      : tokens_(tokens), context_(context), limit_(limit), data_(data) {}

  bool full() const { return limit_ > 0 && data_->size == limit_; }

  absl::Status Add(absl::string_view text, int32_t label) {
    std::vector<int32_t> ids;
    TAMER_RETURN_IF_ERROR(tokens_.Encode(text, context_, &ids));
    const int64_t length = std::min<int64_t>(context_, ids.size());
    ids.resize(context_, -1);
    data_->tokens.insert(data_->tokens.end(), ids.begin(), ids.end());
    data_->lengths.push_back(static_cast<int32_t>(length));
    data_->labels.push_back(label);
    ++data_->size;
    return absl::OkStatus();
  }

 private:
  const Tokens& tokens_;
  const int64_t context_, limit_;
  Dataset* data_;
};

// Reads a table of texts and labels from the file at `path`.
absl::Status ReadTextTable(const std::string& path, const TextTable& table,
                           TextAdder* adder, Dataset* data);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_TEXT_H_
