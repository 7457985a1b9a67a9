#include "core/data/dataset.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/strings/match.h"
#include "core/base/parallel.h"
#include "core/data/loader.h"
#include "core/data/reader.h"
#include "core/data/readers.h"

namespace tamer {
namespace {

std::string InFolder(const std::string& folder, const std::string& path) {
  if (path.empty() || path[0] == '/' || folder.empty()) return path;
  return folder + "/" + path;
}

TAMER_VECTORIZED void ScaleBytes(const uint8_t* x, float mean, float factor,
                                 int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (static_cast<float>(x[i]) - mean) * factor;
  }
}

TAMER_VECTORIZED void ScaleFloats(const float* x, float mean, float factor,
                                  int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - mean) * factor;
}

template <typename T>
void ScaleEach(const T* x, const float* mean, const float* factor, int64_t n,
               float* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (static_cast<float>(x[i]) - mean[i]) * factor[i];
  }
}

float ValueAt(const Dataset& data, int64_t index) {
  return data.dtype == DType::kUint8 ? static_cast<float>(data.bytes[index])
                                     : data.floats[index];
}

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

// The first `most` samples alone; 0: all.
void KeepFirst(int64_t most, Dataset* data) {
  if (most <= 0 || most >= data->size) return;
  data->size = most;
  const int64_t elements = most * data->sample_elements();
  if (!data->bytes.empty()) data->bytes.resize(elements);
  if (!data->floats.empty()) data->floats.resize(elements);
  if (!data->labels.empty()) data->labels.resize(most);
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
      return ReadNpy(InFolder(folder, source.npy().features()),
                     InFolder(folder, source.npy().labels()), limit, data);
    case DataSource::kReader:
      TAMER_RETURN_IF_ERROR(ReadByPlugin(source, folder, registry, data));
      KeepFirst(limit, data);
      return absl::OkStatus();
    case DataSource::FORMAT_NOT_SET:
      break;
  }
  return Invalid("data: no format is given; write idx { ... }, csv { ... } or ",
                 "npy { ... }");
}

}  // namespace

const std::string& DataReader::Kind() {
  static const auto* kind = new std::string("reader");
  return *kind;
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

std::shared_ptr<const Dataset> Select(const Dataset& data,
                                      const std::vector<int64_t>& rows) {
  auto part = std::make_shared<Dataset>();
  part->sample_shape = data.sample_shape;
  part->dtype = data.dtype;
  part->source = data.source;
  part->size = static_cast<int64_t>(rows.size());
  const int64_t width = data.sample_elements();
  for (int64_t row : rows) {
    const int64_t begin = row * width;
    if (data.dtype == DType::kUint8) {
      part->bytes.insert(part->bytes.end(), data.bytes.begin() + begin,
                         data.bytes.begin() + begin + width);
    } else {
      part->floats.insert(part->floats.end(), data.floats.begin() + begin,
                          data.floats.begin() + begin + width);
    }
    if (!data.labels.empty()) part->labels.push_back(data.labels[row]);
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

FeatureScaling FeatureScaling::Fit(Scaling kind, const Dataset& train) {
  FeatureScaling scaling;
  if (kind == UNIT && train.dtype == DType::kUint8) {
    scaling.factor = {1.0f / 255.0f};
  }
  if (kind != STANDARDIZE) return scaling;
  const int64_t width = train.sample_elements();
  std::vector<double> sum(width, 0), squares(width, 0);
  for (int64_t row = 0; row < train.size; ++row) {
    for (int64_t i = 0; i < width; ++i)
      sum[i] += ValueAt(train, row * width + i);
  }
  scaling.mean.resize(width);
  scaling.factor.resize(width);
  for (int64_t i = 0; i < width; ++i) sum[i] /= static_cast<double>(train.size);
  for (int64_t row = 0; row < train.size; ++row) {
    for (int64_t i = 0; i < width; ++i) {
      const double d = ValueAt(train, row * width + i) - sum[i];
      squares[i] += d * d;
    }
  }
  for (int64_t i = 0; i < width; ++i) {
    const double deviation = std::sqrt(squares[i] / train.size);
    scaling.mean[i] = static_cast<float>(sum[i]);
    scaling.factor[i] =
        deviation > 1e-12 ? static_cast<float>(1 / deviation) : 1.0f;
  }
  return scaling;
}

void FeatureScaling::Apply(const Dataset& data, int64_t row, IndexRange part,
                           float* out) const {
  const int64_t at = row * data.sample_elements() + part.begin;
  const int64_t n = part.size();
  out += part.begin;
  const bool bytes = data.dtype == DType::kUint8;
  if (mean.size() == 1) {
    if (bytes) {
      ScaleBytes(data.bytes.data() + at, mean[0], factor[0], n, out);
    } else {
      ScaleFloats(data.floats.data() + at, mean[0], factor[0], n, out);
    }
    return;
  }
  const float* means = mean.data() + part.begin;
  const float* factors = factor.data() + part.begin;
  if (bytes) {
    ScaleEach(data.bytes.data() + at, means, factors, n, out);
  } else {
    ScaleEach(data.floats.data() + at, means, factors, n, out);
  }
}

void FeatureScaling::ApplyTo(const float* sample, int64_t width,
                             float* out) const {
  if (mean.size() == 1) {
    ScaleFloats(sample, mean[0], factor[0], width, out);
  } else {
    ScaleEach(sample, mean.data(), factor.data(), width, out);
  }
}

void FeatureScaling::Apply(const Dataset& data, int64_t row, float* out) const {
  Apply(data, row, {0, data.sample_elements()}, out);
}

}  // namespace tamer
