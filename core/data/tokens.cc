#include "core/data/tokens.h"

#include <algorithm>

#include "core/data/pieces.h"
#include "core/data/readers.h"

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

class PieceTokens : public Tokens {
 public:
  PieceTokens(std::unique_ptr<PieceModel> model, std::vector<int32_t> line_feed)
      : model_(std::move(model)), line_feed_(std::move(line_feed)) {}

  int32_t vocabulary() const override { return model_->vocabulary(); }

  absl::Status Encode(absl::string_view text, int64_t most,
                      std::vector<int32_t>* ids) const override {
    const size_t end = most > 0 ? ids->size() + most : ids->max_size();
    std::vector<int> line_ids;
    while (!text.empty() && ids->size() < end) {
      const size_t length = std::min(text.find('\n'), text.size());
      line_ids.clear();
      const std::string error =
          model_->Encode({text.data(), length}, &line_ids);
      if (!error.empty()) return Invalid(error);
      ids->insert(ids->end(), line_ids.begin(), line_ids.end());
      text.remove_prefix(length);
      if (text.empty()) break;
      ids->insert(ids->end(), line_feed_.begin(), line_feed_.end());
      text.remove_prefix(1);
    }
    ids->resize(std::min(ids->size(), end));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Decode(
      const std::vector<int32_t>& ids) const override {
    std::vector<int> known;
    for (int32_t id : ids) {
      if (id == -1) continue;
      if (id < 0 || id >= vocabulary()) {
        return Invalid("token ", id, " is not one of ", vocabulary());
      }
      known.push_back(id);
    }
    std::string text;
    const std::string error = model_->Decode(known, &text);
    if (!error.empty()) return Invalid(error);
    return text;
  }

 private:
  const std::unique_ptr<PieceModel> model_;
  const std::vector<int32_t> line_feed_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokens>> MakeTokens(const std::string& model) {
  if (model.empty()) return std::unique_ptr<Tokens>(new ByteTokens);
  std::unique_ptr<PieceModel> opened;
  std::string error = PieceModel::Open(model, &opened);
  std::vector<int> line_feed;
  if (error.empty()) error = opened->Encode("\n", &line_feed);
  if (!error.empty()) return Invalid(error);
  return std::unique_ptr<Tokens>(
      new PieceTokens(std::move(opened), {line_feed.begin(), line_feed.end()}));
}

absl::StatusOr<std::string> ReadPieces(const TextSource& source,
                                       const std::string& folder) {
  if (!source.has_pieces()) return std::string();
  const std::string path = InFolder(folder, source.pieces());
  const absl::Status found = CheckFile(path);
  if (found.code() == absl::StatusCode::kNotFound) {
    return absl::NotFoundError(
        absl::StrCat(found.message(), "; make it from the training text by: ",
                     "tamer tokens TEXT --vocabulary 1000 --output ", path));
  }
  TAMER_RETURN_IF_ERROR(found);
  TAMER_ASSIGN_OR_RETURN(std::string model, ReadBytes(path));
  if (model.empty()) return Invalid(path, ": the file is empty");
  return model;
}

absl::StatusOr<std::string> TrainPieces(const std::vector<std::string>& files,
                                        int64_t vocabulary) {
  constexpr int64_t kLeast = 258, kMost = 1 << 20;
  if (vocabulary < kLeast || vocabulary > kMost) {
    return Invalid("vocabulary is ", vocabulary, "; it must be ", kLeast,
                   " to ", kMost, ": 256 bytes, one for the unknown, pieces");
  }
  if (files.empty()) return Invalid("pieces are learned from files of text");
  for (const std::string& file : files) {
    TAMER_RETURN_IF_ERROR(CheckFile(file));
  }
  std::string model;
  const std::string error =
      TrainPieceModel(files, static_cast<int>(vocabulary), &model);
  if (!error.empty()) return Invalid(files[0], ": ", error);
  return model;
}

}  // namespace tamer
