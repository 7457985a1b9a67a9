#ifndef TAMER_CORE_ADVISE_SOURCE_TEXT_H_
#define TAMER_CORE_ADVISE_SOURCE_TEXT_H_

#include <memory>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/parse.h"
#include "google/protobuf/message.h"

namespace tamer {

// A change of one field of a text. Paths are those of `--set` (see
// core/train/override.h); in a network they reach into ops:
// "node.h1.op.activation".
struct Edit {
  enum File { kRecipe, kNetwork };
  enum Kind {
    kSet,     // to `text`, protobuf text of the value; added where it is not
    kRemove,  // the field goes
    kRename,  // the field's keyword becomes `text`, what it holds stays
  };
  File file = kRecipe;
  Kind kind = kSet;
  std::string path;
  std::string text;
};

// A protobuf text and where its fields stand, so that a message can point at
// them and an edit can change one and leave all else, comments too, as it was.
class SourceText {
 public:
  // `prototype` is of the text's message type. A text with faults is an error.
  static absl::StatusOr<SourceText> Parse(
      const std::string& text, const std::string& file,
      const OpRegistry& registry, const google::protobuf::Message& prototype);

  // Where the field stands, or the deepest part of its path that is there.
  SourceLocation Locate(const std::string& path) const;

  // The text after `edit`, which is checked to parse and to say what was asked.
  absl::StatusOr<std::string> Apply(const Edit& edit) const;

 private:
  struct Found;
  struct Range {
    size_t begin = 0, end = 0;
  };
  SourceText() = default;

  Found Find(const std::string& path) const;
  Range RangeOf(const google::protobuf::TextFormat::ParseLocationRange&) const;
  absl::StatusOr<std::string> Insert(const Found& found,
                                     const std::string& text) const;
  std::string Removed(Range range) const;

  std::string text_, file_;
  const OpRegistry* registry_ = nullptr;
  std::vector<size_t> lines_;  // where each begins
  std::shared_ptr<google::protobuf::Message> message_;
  std::shared_ptr<google::protobuf::TextFormat::ParseInfoTree> tree_;
};

}  // namespace tamer

#endif  // TAMER_CORE_ADVISE_SOURCE_TEXT_H_
