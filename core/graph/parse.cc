#include "core/graph/parse.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/suggest.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/io/tokenizer.h"

namespace tamer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// Deeper text than any network needs would overflow the parser's stack.
constexpr int kDeepest = 64;
constexpr int kMostRounds = 50;

// One `keyword { … }` or `keyword: value` at the top of a text.
struct Element {
  size_t begin = 0, end = 0;  // offsets
  int first_line = 0, last_line = 0;
  std::string keyword;
  std::string name;  // of its own field `name`, if it has one
};

// Cuts a text into its top-level elements by braces alone, without recursion
// and without caring for what else may be wrong with it.
class Scanner {
 public:
  explicit Scanner(const std::string& text) : text_(text) {}

  std::vector<Element> Scan() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        ++at_;
      } else if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == '"' || c == '\'') {
        String(c);
      } else if (c == '{' || c == '<') {
        ++depth_;
        ++at_;
      } else if (c == '}' || c == '>') {
        ++at_;
        if (depth_ > 0 && --depth_ == 0) Finish();
      } else if (isalpha(static_cast<unsigned char>(c)) || c == '_') {
        Word();
      } else {
        ++at_;
      }
    }
    Finish();
    return std::move(elements_);
  }

 private:
  void Word() {
    const size_t begin = at_;
    while (at_ < text_.size() &&
           (isalnum(static_cast<unsigned char>(text_[at_])) ||
            text_[at_] == '_')) {
      ++at_;
    }
    word_ = text_.substr(begin, at_ - begin);
    // At the top, a word before ':' or '{' begins an element.
    const size_t next = text_.find_first_not_of(" \t\r", at_);
    const bool field =
        next != std::string::npos && (text_[next] == ':' || text_[next] == '{');
    if (depth_ == 0 && field) {
      Finish();
      current_ = Element();
      current_.begin = begin;
      current_.first_line = line_;
      current_.keyword = word_;
      open_ = true;
    }
  }

  void String(char quote) {
    const size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    at_ = std::min(at_, text_.size());
    if (depth_ == 1 && word_ == "name" && current_.name.empty()) {
      current_.name = text_.substr(begin, at_ - begin);
    }
    if (at_ < text_.size() && text_[at_] == quote) ++at_;
  }

  void Finish() {
    if (!open_) return;
    current_.end = at_;
    current_.last_line = line_;
    elements_.push_back(current_);
    open_ = false;
  }

  const std::string& text_;
  size_t at_ = 0;
  int line_ = 0;
  int depth_ = 0;
  bool open_ = false;
  std::string word_;
  Element current_;
  std::vector<Element> elements_;
};

const Element* ElementAt(const std::vector<Element>& elements, int line) {
  const Element* found = nullptr;
  for (const Element& element : elements) {
    if (element.first_line <= line && line <= element.last_line) {
      found = &element;
    }
  }
  return found;
}

struct Fault {
  int line, column;
  std::string text;
};

class Collector : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& text) override {
    if (!failed_) errors.push_back({line, column, text});
    failed_ = true;  // what follows comes of the first
  }
  void AddWarning(int line, int column, const std::string& text) override {
    warnings.push_back({line, column, text});
  }
  std::vector<Fault> errors, warnings;

 private:
  bool failed_ = false;
};

// The text between the `n`-th pair of double quotes.
std::string Quoted(const std::string& text, int n) {
  const std::vector<std::string> parts = absl::StrSplit(text, '"');
  return 2 * n + 1 < parts.size() ? parts[2 * n + 1] : "";
}

// Protobuf's words for the commonest slips, in ours; others as they are.
std::string Reword(const std::string& text, const OpRegistry& registry) {
  if (absl::StartsWith(text, "Message type \"") &&
      absl::StrContains(text, "has no field named")) {
    const std::string type = Quoted(text, 0), field = Quoted(text, 1);
    const std::string name = type.substr(type.rfind('.') + 1);
    const Op* op = registry.Find(name);
    const Descriptor* descriptor =
        op != nullptr ? &op->schema()
                      : google::protobuf::DescriptorPool::generated_pool()
                            ->FindMessageTypeByName(type);
    std::vector<std::string> fields;
    for (int i = 0; descriptor != nullptr && i < descriptor->field_count();
         ++i) {
      fields.push_back(descriptor->field(i)->name());
    }
    return absl::StrCat(name, " has no ", op != nullptr ? "parameter" : "field",
                        " \"", field, "\"", DidYouMean(field, fields));
  }
  if (absl::StrContains(text, "too deep") ||
      absl::StrContains(text, "recursion")) {
    return absl::StrCat("nested deeper than ", kDeepest, " levels");
  }
  return std::string(absl::StripSuffix(text, "."));
}

bool IsAboutUnknownOp(const Fault& warning) {
  return absl::StrContains(warning.text, "google.protobuf.Empty");
}

// Protobuf points behind an unknown field's name; people look for its
// beginning.
void PointAtField(const std::vector<std::string>& lines, Fault* fault) {
  if (!absl::StrContains(fault->text, "has no field named")) return;
  const std::string field = Quoted(fault->text, 1);
  const int begin = fault->column - static_cast<int>(field.size());
  if (begin >= 0 && fault->line < static_cast<int>(lines.size()) &&
      lines[fault->line].compare(begin, field.size(), field) == 0) {
    fault->column = begin;
  }
}

// Blanks what cannot be parsed, keeping lines where they are.
void Blank(size_t begin, size_t end, std::string* text) {
  for (size_t i = begin; i < end && i < text->size(); ++i) {
    if ((*text)[i] != '\n') (*text)[i] = ' ';
  }
}

std::string Where(const std::string& file, const Fault& fault,
                  const Element* element) {
  std::string where =
      absl::StrCat(file, ":", fault.line + 1, ":", fault.column + 1, ": ");
  if (element != nullptr && !element->name.empty()) {
    absl::StrAppend(&where, element->keyword, " \"", element->name, "\": ");
  }
  return where;
}

// Editors of other systems put it first.
void DropByteOrderMark(std::string* text) {
  if (absl::StartsWith(*text, "\xef\xbb\xbf")) text->replace(0, 3, "   ");
}

}  // namespace

const Descriptor* OpFinder::FindAnyType(const Message&,
                                        const std::string& prefix,
                                        const std::string& name) const {
  if (prefix == "op/") {
    const Op* op = registry_.Find(name);
    if (op != nullptr) return &op->schema();
  } else {
    const Extension* extension = registry_.FindExtension(
        std::string(absl::StripSuffix(prefix, "/")), name);
    if (extension != nullptr) return &extension->schema();
  }
  return google::protobuf::Empty::descriptor();
}

std::string UnknownOp(const std::string& type_url, const OpRegistry& registry) {
  const std::string name(absl::StripPrefix(type_url, "op/"));
  if (name.empty()) return "it has no op; write op { [op/Dense] { ... } }";
  if (name.size() == type_url.size()) {
    return absl::StrCat("\"", type_url, "\" is not an op; write [op/NAME]");
  }
  return absl::StrCat("unknown op \"", name, "\"",
                      DidYouMean(name, registry.Names()),
                      "; tamer ops lists them all, --plugin FILE.so "
                      "brings those of a plugin");
}

void ParseAll(const std::string& original, const std::string& file,
              const OpRegistry& registry, Message* message, TextParse* result) {
  std::string text = original;
  DropByteOrderMark(&text);
  if (text.find('\0') != std::string::npos) {
    result->faults.push_back(file + ": not a text file: it holds a zero byte");
    return;
  }
  const std::vector<Element> elements = Scanner(text).Scan();
  std::set<std::pair<int, int>> told;
  std::vector<Fault> faults;
  const auto tell = [&](const Fault& fault) {
    if (told.insert({fault.line, fault.column}).second) faults.push_back(fault);
  };
  OpFinder finder(registry);
  for (int round = 0; round < kMostRounds; ++round) {
    Collector collector;
    TextFormat::Parser parser;
    parser.AllowUnknownField(true);
    parser.SetRecursionLimit(kDeepest);
    parser.SetFinder(&finder);
    parser.RecordErrorsTo(&collector);
    result->locations = std::make_unique<TextFormat::ParseInfoTree>();
    parser.WriteLocationsTo(result->locations.get());
    message->Clear();
    const bool parsed = parser.ParseFromString(text, message);
    for (const Fault& warning : collector.warnings) {
      if (!IsAboutUnknownOp(warning)) tell(warning);
    }
    if (parsed) break;
    if (collector.errors.empty()) {
      tell({0, 0, "cannot be parsed"});
      break;
    }
    const Fault& error = collector.errors[0];
    tell(error);
    const Element* element = ElementAt(elements, error.line);
    if (element == nullptr) break;
    if (!element->name.empty()) result->lost.push_back(element->name);
    const std::string before = text;
    Blank(element->begin, element->end, &text);
    if (text == before) break;
  }
  std::sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) {
    return std::make_pair(a.line, a.column) < std::make_pair(b.line, b.column);
  });
  const std::vector<std::string> lines = absl::StrSplit(original, '\n');
  for (Fault& fault : faults) {
    PointAtField(lines, &fault);
    result->faults.push_back(
        Where(file, fault, ElementAt(elements, fault.line)) +
        Reword(fault.text, registry));
  }
}

}  // namespace tamer
