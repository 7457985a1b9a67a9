// Comma-separated numbers, a sample a line.

#include <cmath>
#include <fstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/data/readers.h"

namespace tamer {
namespace {

constexpr int kNoLabels = -1000;

class CsvReader {
 public:
  CsvReader(const std::string& path, const CsvSource& source, Dataset* data)
      : path_(path), source_(source), data_(data) {}

  absl::Status AddLine(absl::string_view line, int64_t number) {
    const std::vector<absl::string_view> cells =
        absl::StrSplit(line, source_.separator());
    const int columns = static_cast<int>(cells.size());
    if (columns_ < 0) TAMER_RETURN_IF_ERROR(Begin(columns, number));
    if (columns != columns_) {
      return Invalid(path_, ":", number, ": ", columns, " columns, but the ",
                     "lines above have ", columns_);
    }
    for (int c = 0; c < columns; ++c) {
      const absl::string_view cell = absl::StripAsciiWhitespace(cells[c]);
      const absl::Status status = c == label_ ? AddLabel(cell) : AddCell(cell);
      if (!status.ok()) {
        return Invalid(path_, ":", number, ": column ", c + 1, ": ",
                       status.message());
      }
    }
    ++data_->size;
    return absl::OkStatus();
  }

 private:
  absl::Status Begin(int columns, int64_t number) {
    columns_ = columns;
    if (source_.label_column() != kNoLabels) {
      label_ = source_.label_column() < 0 ? columns + source_.label_column()
                                          : source_.label_column();
      if (label_ < 0 || label_ >= columns) {
        return Invalid(path_, ":", number, ": label_column ",
                       source_.label_column(), " is not one of ", columns,
                       " columns");
      }
    }
    const int width = columns - (label_ >= 0 ? 1 : 0);
    if (width < 1) return Invalid(path_, ": there is no column of features");
    data_->sample_shape = Shape({width});
    return absl::OkStatus();
  }

  absl::Status AddLabel(absl::string_view cell) {
    int32_t label;
    if (!absl::SimpleAtoi(cell, &label) || label < 0) {
      return Invalid("\"", cell.substr(0, 40),
                     "\" is not a label: an integer of at least 0");
    }
    data_->labels.push_back(label);
    return absl::OkStatus();
  }

  absl::Status AddCell(absl::string_view cell) {
    float value;
    if (!absl::SimpleAtof(cell, &value) || !std::isfinite(value)) {
      return Invalid("\"", cell.substr(0, 40), "\" is not a finite number");
    }
    data_->floats.push_back(value);
    return absl::OkStatus();
  }

  const std::string& path_;
  const CsvSource& source_;
  Dataset* data_;
  int columns_ = -1;
  int label_ = -1;
};

}  // namespace

absl::Status ReadCsv(const std::string& path, const CsvSource& source,
                     int64_t limit, Dataset* data) {
  TAMER_RETURN_IF_ERROR(CheckFile(path));
  if (source.separator().size() != 1) {
    return Invalid(path, ": separator must be one character, not \"",
                   source.separator(), "\"");
  }
  std::ifstream in(path);
  if (!in) return CannotOpen(path);
  data->source = path;
  data->dtype = DType::kFloat;
  CsvReader reader(path, source, data);
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (number == 1 && source.header()) continue;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    TAMER_RETURN_IF_ERROR(reader.AddLine(line, number));
    if (limit > 0 && data->size == limit) break;
  }
  if (data->size == 0) return Invalid(path, ": there is no sample in it");
  return absl::OkStatus();
}

}  // namespace tamer
