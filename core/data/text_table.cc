// Texts and labels, one of each a line.

#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "core/data/readers.h"
#include "core/data/text.h"

namespace tamer {
namespace {

// Takes a file apart, a line of cells at a time.
class TableReader {
 public:
  TableReader(std::string content, char separator)
      : content_(std::move(content)), separator_(separator) {}

  bool done() const { return at_ >= content_.size(); }
  // Of the line read last, from 1.
  int64_t line() const { return line_; }

  absl::Status Next(std::vector<std::string>* cells) {
    line_ = lines_ + 1;
    cells->assign(1, "");
    while (!done()) {
      const char c = content_[at_++];
      if (c == '\n') break;
      if (c == separator_) {
        cells->emplace_back();
      } else if (c == '"' && separator_ == ',' && cells->back().empty()) {
        TAMER_RETURN_IF_ERROR(Quoted(&cells->back()));
      } else {
        cells->back() += c;
      }
    }
    ++lines_;
    std::string& last = cells->back();
    if (!last.empty() && last.back() == '\r') last.pop_back();
    return absl::OkStatus();
  }

 private:
  // Up to the closing quote; two quotes stand for one.
  absl::Status Quoted(std::string* cell) {
    while (!done()) {
      const char c = content_[at_++];
      if (c == '\n') ++lines_;
      if (c != '"') {
        *cell += c;
      } else if (!done() && content_[at_] == '"') {
        *cell += '"';
        ++at_;
      } else {
        return absl::OkStatus();
      }
    }
    return Invalid("a quoted text never ends");
  }

  const std::string content_;
  const char separator_;
  size_t at_ = 0;
  int64_t lines_ = 0, line_ = 0;
};

absl::StatusOr<int> Column(const char* field, int column, int columns) {
  const int found = column < 0 ? columns + column : column;
  if (found >= 0 && found < columns) return found;
  return Invalid(field, " ", column, " is not one of ", columns, " columns");
}

// Turns words, numbered as they came, into classes in alphabetical order; or
// whole numbers, if all are, into themselves.
absl::Status NameClasses(const std::map<std::string, int32_t>& words,
                         Dataset* data) {
  std::vector<int32_t> labels(words.size());
  bool numbers = true;
  for (const auto& word : words) {
    int32_t& label = labels[word.second];
    numbers = numbers && absl::SimpleAtoi(word.first, &label) && label >= 0;
  }
  if (!numbers) {
    for (const auto& word : words) {
      labels[word.second] = static_cast<int32_t>(data->class_names.size());
      data->class_names.push_back(word.first);
    }
  }
  for (int32_t& label : data->labels) label = labels[label];
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadTextTable(const std::string& path, const TextTable& table,
                           TextAdder* adder, Dataset* data) {
  TAMER_RETURN_IF_ERROR(CheckFile(path));
  if (table.separator().size() != 1) {
    return Invalid(path, ": separator must be one character, not \"",
                   table.separator(), "\"");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return CannotOpen(path);
  TableReader reader(std::string(std::istreambuf_iterator<char>(in), {}),
                     table.separator()[0]);
  std::vector<std::string> cells;
  if (table.header() && !reader.done()) {
    TAMER_RETURN_IF_ERROR(Annotate(reader.Next(&cells), path));
  }
  std::map<std::string, int32_t> words;
  while (!reader.done() && !adder->full()) {
    absl::Status status = reader.Next(&cells);
    const std::string where = absl::StrCat(path, ":", reader.line());
    TAMER_RETURN_IF_ERROR(Annotate(status, where));
    if (cells.size() == 1 && cells[0].empty()) continue;
    const int columns = static_cast<int>(cells.size());
    const auto text = Column("text_column", table.text_column(), columns);
    if (!text.ok()) return Annotate(text.status(), where);
    const auto label = Column("label_column", table.label_column(), columns);
    if (!label.ok()) return Annotate(label.status(), where);
    if (*text == *label) {
      return Invalid(where, ": text and label are both column ", *text);
    }
    const std::string word(absl::StripAsciiWhitespace(cells[*label]));
    if (word.empty()) return Invalid(where, ": the label is empty");
    const auto number = static_cast<int32_t>(words.size());
    TAMER_RETURN_IF_ERROR(Annotate(
        adder->Add(cells[*text], words.emplace(word, number).first->second),
        where));
  }
  return NameClasses(words, data);
}

}  // namespace tamer
