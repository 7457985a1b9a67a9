#include "core/advise/source_text.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/graph/text.h"
#include "google/protobuf/any.pb.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Tree = google::protobuf::TextFormat::ParseInfoTree;

// The element that a path names by its `name` or `node`, or by its number.
int ElementIndex(const Message& message, const FieldDescriptor* field,
                 const std::string& key) {
  const auto& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, field);
  int index = -1;
  if (absl::SimpleAtoi(key, &index)) return index < size ? index : -1;
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return -1;
  for (int i = 0; i < size; ++i) {
    const Message& element = reflection.GetRepeatedMessage(message, field, i);
    for (const char* name : {"name", "node"}) {
      const FieldDescriptor* named =
          element.GetDescriptor()->FindFieldByName(name);
      if (named != nullptr && !named->is_repeated() &&
          named->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
          element.GetReflection()->GetString(element, named) == key) {
        return i;
      }
    }
  }
  return -1;
}

bool IsAny(const Message& message) {
  return message.GetDescriptor() == google::protobuf::Any::descriptor();
}

bool IsMessage(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

// `units: 5` or `averaging {}`.
std::string FieldText(const std::string& name, const std::string& value) {
  const bool nested = !value.empty() && value[0] == '{';
  return absl::StrCat(name, nested ? " " : ": ", value);
}

}  // namespace

// How far a path leads into what the text says.
struct SourceText::Found {
  // Of the deepest part that is there; null: the whole text.
  const FieldDescriptor* field = nullptr;
  Range range;
  int line = 0, column = 0;
  // Whether that part is an Any, whose value has braces of its own.
  bool any = false;
  // What of the path is not there.
  std::vector<std::string> missing;
};

absl::StatusOr<SourceText> SourceText::Parse(const std::string& text,
                                             const std::string& file,
                                             const OpRegistry& registry,
                                             const Message& prototype) {
  SourceText source;
  source.text_ = text;
  source.file_ = file;
  source.registry_ = &registry;
  source.message_.reset(prototype.New());
  TextParse parse;
  ParseAll(text, file, registry, source.message_.get(), &parse);
  if (!parse.faults.empty() || parse.locations == nullptr) {
    return absl::InvalidArgumentError(absl::StrJoin(parse.faults, "\n"));
  }
  source.tree_ = std::move(parse.locations);
  source.lines_.push_back(0);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') source.lines_.push_back(i + 1);
  }
  return source;
}

SourceText::Range SourceText::RangeOf(
    const google::protobuf::TextFormat::ParseLocationRange& range) const {
  // Protobuf counts a tab as the way to the next multiple of eight.
  const auto offset = [this](int line, int column) {
    size_t at = lines_[line];
    for (int seen = 0; seen < column && at < text_.size(); ++at) {
      seen = text_[at] == '\t' ? (seen / 8 + 1) * 8 : seen + 1;
    }
    return at;
  };
  return {offset(range.start.line, range.start.column),
          offset(range.end.line, range.end.column)};
}

SourceText::Found SourceText::Find(const std::string& path) const {
  Found found;
  std::vector<std::string> parts = absl::StrSplit(path, '.');
  std::shared_ptr<const Message> message = message_;
  const Tree* tree = tree_.get();
  size_t next = 0;
  while (next < parts.size()) {
    std::shared_ptr<const Message> value = message;
    if (IsAny(*message)) {
      auto params = UnpackOp(
          static_cast<const google::protobuf::Any&>(*message), *registry_);
      if (!params.ok()) break;
      value = std::move(*params);
    }
    const FieldDescriptor* field =
        value->GetDescriptor()->FindFieldByName(parts[next]);
    if (field == nullptr || tree == nullptr) break;
    int index = -1;
    size_t used = 1;
    if (field->is_repeated()) {
      if (next + 1 >= parts.size()) break;
      index = ElementIndex(*value, field, parts[next + 1]);
      if (index < 0) break;
      used = 2;
    } else if (!value->GetReflection()->HasField(*value, field)) {
      break;
    }
    const auto range = tree->GetLocationRange(field, index);
    if (range.start.line < 0) break;
    found.field = field;
    found.range = RangeOf(range);
    found.line = range.start.line + 1;
    found.column = range.start.column + 1;
    next += used;
    found.any = false;
    if (!IsMessage(field)) break;
    tree = tree->GetTreeForNested(field, index);
    const auto& reflection = *value->GetReflection();
    const Message& inner =
        index >= 0 ? reflection.GetRepeatedMessage(*value, field, index)
                   : reflection.GetMessage(*value, field);
    found.any = IsAny(inner);
    message = std::shared_ptr<const Message>(value, &inner);
  }
  found.missing.assign(parts.begin() + next, parts.end());
  return found;
}

SourceLocation SourceText::Locate(const std::string& path) const {
  const Found found = Find(path);
  return {file_, std::max(found.line, 1), std::max(found.column, 1)};
}

// Before the closing brace of the part found, on a line of its own if the part
// has several.
absl::StatusOr<std::string> SourceText::Insert(const Found& found,
                                               const std::string& text) const {
  std::string result = text_;
  if (found.field == nullptr) {
    if (!result.empty() && result.back() != '\n') result += '\n';
    return absl::StrCat(result, text, "\n");
  }
  const size_t begin = found.range.begin;
  size_t brace = text_.rfind('}', found.range.end - 1);
  if (found.any && brace != std::string::npos && brace > begin) {
    brace = text_.rfind('}', brace - 1);
  }
  if (brace == std::string::npos || brace <= begin) {
    return Invalid(file_, ":", found.line, ": cannot add ", text);
  }
  const size_t line = text_.rfind('\n', brace);
  const bool alone = line != std::string::npos && line > begin &&
                     text_.find_first_not_of(" \t", line + 1) == brace;
  if (alone) {
    const std::string indent = text_.substr(line + 1, brace - line - 1);
    return result.insert(line + 1, absl::StrCat(indent, "  ", text, "\n"));
  }
  const bool space = brace > 0 && text_[brace - 1] == ' ';
  return result.insert(brace, absl::StrCat(space ? "" : " ", text, " "));
}

// Without the field, and without its line if nothing else stands there.
std::string SourceText::Removed(Range range) const {
  while (range.begin > 0 &&
         (text_[range.begin - 1] == ' ' || text_[range.begin - 1] == '\t')) {
    --range.begin;
  }
  const bool line_begins = range.begin == 0 || text_[range.begin - 1] == '\n';
  const bool line_ends = range.end >= text_.size() || text_[range.end] == '\n';
  if (line_begins && line_ends && range.end < text_.size()) ++range.end;
  return text_.substr(0, range.begin) + text_.substr(range.end);
}

absl::StatusOr<std::string> SourceText::Apply(const Edit& edit) const {
  const Found found = Find(edit.path);
  const bool there = found.missing.empty();
  std::string result = text_;
  if (edit.kind != Edit::kSet && !there) {
    return Invalid(file_, ": there is no ", edit.path);
  }
  switch (edit.kind) {
    case Edit::kRemove:
      result = Removed(found.range);
      break;
    case Edit::kRename:
      result.replace(found.range.begin, found.field->name().size(), edit.text);
      break;
    case Edit::kSet:
      if (there) {
        result.replace(found.range.begin, found.range.end - found.range.begin,
                       FieldText(found.field->name(), edit.text));
        break;
      }
      std::string text = FieldText(found.missing.back(), edit.text);
      for (size_t i = found.missing.size() - 1; i-- > 0;) {
        text = absl::StrCat(found.missing[i], " { ", text, " }");
      }
      TAMER_ASSIGN_OR_RETURN(result, Insert(found, text));
  }
  TAMER_ASSIGN_OR_RETURN(const SourceText edited,
                         Parse(result, file_, *registry_, *message_));
  if (edit.kind == Edit::kSet && !edited.Find(edit.path).missing.empty()) {
    return Invalid(file_, ": ", edit.path, " could not be set");
  }
  return result;
}

}  // namespace tamer
