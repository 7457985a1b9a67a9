// Folders of pictures: a subfolder a class.

#include <atomic>

#include "absl/strings/str_cat.h"
#include "core/base/parallel.h"
#include "core/data/image.h"
#include "core/data/readers.h"

namespace tamer {
namespace {

constexpr int kLargestSide = 1 << 13;
constexpr int64_t kMostBytes = int64_t{1} << 36;

absl::Status CheckSource(const ImagesSource& source) {
  if (source.height() < 1 || source.width() < 1 ||
      source.height() > kLargestSide || source.width() > kLargestSide) {
    return Invalid("data: images: height and width are ", source.height(),
                   " and ", source.width(), "; they must be 1 to ",
                   kLargestSide);
  }
  if (source.channels() == 1 || source.channels() == 3) {
    return absl::OkStatus();
  }
  return Invalid("data: images: channels is ", source.channels(),
                 "; it must be 1 (grey) or 3 (colours)");
}

absl::Status ReadOne(const ImagesSource& source, const std::string& path,
                     uint8_t* out) {
  TAMER_ASSIGN_OR_RETURN(const std::string bytes, ReadBytes(path));
  auto picture =
      DecodePicture(bytes, source.channels(), source.height(), source.width());
  if (!picture.ok()) return Annotate(picture.status(), path);
  FitPicture(*picture, source.height(), source.width(),
             source.fit() == ImagesSource::CROP, out);
  return absl::OkStatus();
}

// Reads all files, each thread the next one, and tells of those that fail.
absl::Status ReadAll(const ImagesSource& source,
                     const std::vector<ClassItem>& items, Dataset* data) {
  const int64_t width = data->sample_elements();
  std::vector<absl::Status> results(data->size);
  std::atomic<int64_t> next(0);
  OnTeam(data->size < 2, [&](int, int) {
    for (int64_t i = next++; i < data->size; i = next++) {
      results[i] =
          ReadOne(source, *items[i].item, data->bytes.data() + i * width);
    }
  });
  const absl::Status* first = nullptr;
  int64_t failed = 0;
  for (const absl::Status& result : results) {
    if (result.ok()) continue;
    if (failed++ == 0) first = &result;
  }
  if (failed == 0) return absl::OkStatus();
  if (failed == 1) return *first;
  return absl::Status(first->code(),
                      absl::StrCat(first->message(), "; and ", failed - 1,
                                   " more files cannot be read"));
}

}  // namespace

absl::Status ReadImages(const ImagesSource& source, const std::string& folder,
                        int64_t limit, Dataset* data) {
  TAMER_RETURN_IF_ERROR(CheckSource(source));
  data->source = InFolder(folder, source.folder());
  TAMER_ASSIGN_OR_RETURN(const ClassFiles files, ListClasses(data->source));
  const std::vector<ClassItem> items = ByTurns(files.paths);
  data->size = static_cast<int64_t>(items.size());
  if (limit > 0) data->size = std::min(data->size, limit);
  if (data->size == 0) {
    return Invalid(data->source, ": there is no picture in it");
  }
  data->class_names = files.classes;
  data->dtype = DType::kUint8;
  data->sample_shape =
      Shape({source.channels(), source.height(), source.width()});
  const int64_t width = data->sample_elements();
  if (data->size > kMostBytes / width) {
    return Invalid(data->source, ": ", data->size, " pictures of ", width,
                   " bytes are more than ", kMostBytes >> 30, " GiB");
  }
  data->bytes.resize(data->size * width);
  for (int64_t i = 0; !files.classes.empty() && i < data->size; ++i) {
    data->labels.push_back(items[i].label);
  }
  return ReadAll(source, items, data);
}

}  // namespace tamer
