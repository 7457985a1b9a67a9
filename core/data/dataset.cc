#include "core/data/dataset.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/strings/match.h"
#include "core/base/suggest.h"
#include "core/data/loader.h"
#include "core/data/reader.h"
#include "core/data/readers.h"

namespace tamer {
namespace {

absl::Status ReadByPlugin(const DataSource& source, const std::string& folder,
                          const OpRegistry* registry, Dataset* data) {
  if (registry == nullptr) {
    return Invalid("data: this program reads no plugins' formats");
  }
  auto found = registry->UnpackExtension(source.reader(), DataReader::Kind());
  if (!found.ok()) return Annotate(found.status(), "data");
  const auto& reader = static_cast<const DataReader&>(*found->extension);
  return reader.Read(*found->params, folder, data);
}

template <typename T>
void CopyRow(const std::vector<T>& from, int64_t row, int64_t width,
             std::vector<T>* to) {
  if (from.empty()) return;
  to->insert(to->end(), from.begin() + row * width,
             from.begin() + (row + 1) * width);
}

absl::Status Read(const DataSource& source, const std::string& folder,
                  const OpRegistry* registry, Dataset* data) {
  constexpr int64_t kMost = int64_t{1} << 40;
  if (source.limit() < 0 || source.limit() > kMost) {
    return Invalid("data: limit is ", source.limit(),
                   "; it must be at least 0");
  }
  if (source.skip() < 0 || source.skip() > kMost) {
    return Invalid("data: skip is ", source.skip(), "; it must be at least 0");
  }
  const int64_t limit = source.limit() > 0 ? source.skip() + source.limit() : 0;
  switch (source.format_case()) {
    case DataSource::kIdx:
      return ReadIdx(InFolder(folder, source.idx().images()),
                     InFolder(folder, source.idx().labels()), limit, data);
    case DataSource::kCsv:
      return ReadCsv(InFolder(folder, source.csv().file()), source.csv(), limit,
                     data);
    case DataSource::kNpy:
      return ReadNpy(source.npy(), folder, limit, data);
    case DataSource::kImages:
      return ReadImages(source.images(), folder, limit, data);
    case DataSource::kText:
      return ReadText(source.text(), folder, limit, data);
    case DataSource::kReader:
      TAMER_RETURN_IF_ERROR(ReadByPlugin(source, folder, registry, data));
      KeepFirst(limit, data);
      return absl::OkStatus();
    case DataSource::FORMAT_NOT_SET:
      break;
  }
  return Invalid("data: no format is given; write idx { ... }, csv { ... }, ",
                 "npy { ... }, text { ... } or images { ... }");
}

}  // namespace

const std::string& DataReader::Kind() {
  static const auto* kind = new std::string("reader");
  return *kind;
}

std::string InFolder(const std::string& folder, const std::string& path) {
  if (path.empty() || path[0] == '/' || folder.empty()) return path;
  return folder + "/" + path;
}

absl::Status CannotOpen(const std::string& path) {
  std::string mend;
  for (const char* known :
       {"train-images", "train-labels", "t10k-images", "t10k-labels"}) {
    if (absl::StrContains(path, known)) {
      mend = absl::StrCat(
          "; bring it by: tools/fetch_data ",
          absl::StrContains(path, "fashion") ? "fashion-mnist" : "mnist");
    }
  }
  return absl::NotFoundError(
      absl::StrCat(path, ": ", std::strerror(errno), mend));
}

absl::Status CheckFile(const std::string& path) {
  if (path.empty()) return Invalid("data: a file's name is missing");
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return CannotOpen(path);
  if (!S_ISREG(info.st_mode)) return Invalid(path, ": not a file");
  return absl::OkStatus();
}

int32_t Dataset::classes() const {
  if (labels.empty()) return 0;
  return *std::max_element(labels.begin(), labels.end()) + 1;
}

void KeepFirst(int64_t most, Dataset* data) {
  if (most <= 0 || most >= data->size) return;
  data->size = most;
  const int64_t elements = most * data->sample_elements();
  if (!data->bytes.empty()) data->bytes.resize(elements);
  if (!data->floats.empty()) data->floats.resize(elements);
  if (!data->tokens.empty()) data->tokens.resize(elements);
  if (!data->labels.empty()) {
    data->labels.resize(most * data->labels_per_sample);
  }
  if (!data->lengths.empty()) data->lengths.resize(most);
}

absl::StatusOr<std::shared_ptr<const Dataset>> ReadDataset(
    const DataSource& source, const std::string& folder,
    const OpRegistry* registry) {
  auto data = std::make_shared<Dataset>();
  TAMER_RETURN_IF_ERROR(Read(source, folder, registry, data.get()));
  if (source.skip() > 0) {
    if (source.skip() >= data->size) {
      return Invalid(data->source, ": skip is ", source.skip(),
                     ", but there are only ", data->size, " samples");
    }
    std::vector<int64_t> rows(data->size - source.skip());
    std::iota(rows.begin(), rows.end(), source.skip());
    return Select(*data, rows);
  }
  return std::shared_ptr<const Dataset>(std::move(data));
}

absl::StatusOr<std::shared_ptr<const Dataset>> WithClasses(
    std::shared_ptr<const Dataset> data,
    const std::vector<std::string>& names) {
  if (names.empty() || data->class_names.empty() ||
      names == data->class_names) {
    return data;
  }
  std::vector<int32_t> number;
  for (const std::string& name : data->class_names) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      return Invalid(data->source, ": the training data has no class \"", name,
                     "\"", DidYouMean(name, names));
    }
    number.push_back(static_cast<int32_t>(found - names.begin()));
  }
  auto copy = std::make_shared<Dataset>(*data);
  copy->class_names = names;
  for (int32_t& label : copy->labels) label = number[label];
  return std::shared_ptr<const Dataset>(std::move(copy));
}

std::shared_ptr<const Dataset> Select(const Dataset& data,
                                      const std::vector<int64_t>& rows) {
  auto part = std::make_shared<Dataset>();
  part->sample_shape = data.sample_shape;
  part->dtype = data.dtype;
  part->source = data.source;
  part->labels_per_sample = data.labels_per_sample;
  part->pieces = data.pieces;
  part->class_names = data.class_names;
  part->size = static_cast<int64_t>(rows.size());
  const int64_t width = data.sample_elements();
  for (int64_t row : rows) {
    CopyRow(data.bytes, row, width, &part->bytes);
    CopyRow(data.floats, row, width, &part->floats);
    CopyRow(data.tokens, row, width, &part->tokens);
    CopyRow(data.labels, row, data.labels_per_sample, &part->labels);
    CopyRow(data.lengths, row, 1, &part->lengths);
  }
  return part;
}

SplitResult RandomSplit(const Dataset& data, double share, uint64_t seed) {
  const int64_t count = std::llround(share * static_cast<double>(data.size));
  // A stream of its own: epoch -1 is no epoch of training.
  std::vector<int64_t> order = EpochOrder(data.size, seed, -1);
  std::vector<int64_t> part(order.begin(), order.begin() + count);
  std::vector<int64_t> rest(order.begin() + count, order.end());
  std::sort(part.begin(), part.end());
  std::sort(rest.begin(), rest.end());
  return {Select(data, rest), Select(data, part)};
}

}  // namespace tamer
