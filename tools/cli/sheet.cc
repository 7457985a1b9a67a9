#include "tools/cli/sheet.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/train/files.h"

namespace tamer {
namespace {

constexpr uint8_t kLine = 40;

uint8_t Grey(float value, float zero, float range) {
  const float scaled = zero + value / range;
  return static_cast<uint8_t>(
      std::lround(255 * std::min(1.0f, std::max(0.0f, scaled))));
}

// The largest number, zero being in the middle.
float RangeOf(const float* image, int64_t size) {
  float most = 1e-12f;
  for (int64_t i = 0; i < size; ++i) most = std::max(most, std::abs(image[i]));
  return 2 * most;
}

}  // namespace

void ImageSize(const Shape& shape, int64_t elements, Sheet* sheet) {
  const int rank = shape.rank();
  if (rank >= 2 && shape.dim(rank - 1) * shape.dim(rank - 2) == elements) {
    sheet->height = shape.dim(rank - 2);
    sheet->width = shape.dim(rank - 1);
    return;
  }
  const int64_t side = std::lround(std::sqrt(static_cast<double>(elements)));
  sheet->height = side * side == elements ? side : 1;
  sheet->width = elements / sheet->height;
}

absl::Status WriteSheet(const std::string& path, const Sheet& sheet,
                        const std::vector<float>& values, int64_t count) {
  const int64_t columns = std::min(sheet.columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  const int64_t tile_height = sheet.height * sheet.scale + 1;
  const int64_t tile_width = sheet.width * sheet.scale + 1;
  const int64_t width = columns * tile_width + 1;
  const int64_t height = rows * tile_height + 1;
  if (width > 30000 || height > 30000) {
    return Invalid(path, ": a sheet of ", width, " x ", height,
                   " pixels is too large; choose fewer images");
  }
  std::vector<uint8_t> pixels(width * height, kLine);
  for (int64_t n = 0; n < count; ++n) {
    const int64_t size = sheet.height * sheet.width;
    const float* image = &values[n * size];
    const float range = sheet.each_range ? RangeOf(image, size) : 1.0f;
    const float zero = sheet.each_range ? 0.5f : 0.0f;
    for (int64_t y = 0; y < sheet.height * sheet.scale; ++y) {
      uint8_t* row = &pixels[(n / columns * tile_height + 1 + y) * width +
                             n % columns * tile_width + 1];
      const float* from = image + y / sheet.scale * sheet.width;
      for (int64_t x = 0; x < sheet.width * sheet.scale; ++x) {
        row[x] = Grey(from[x / sheet.scale], zero, range);
      }
    }
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_GRAY;
  png_alloc_size_t bytes = 0;
  png_image_write_get_memory_size(image, bytes, 0, pixels.data(), 0, nullptr);
  std::string file(bytes, '\0');
  if (!png_image_write_to_memory(&image, &file[0], &bytes, 0, pixels.data(), 0,
                                 nullptr)) {
    return absl::InternalError(
        absl::StrCat(path, ": cannot be encoded: ", image.message));
  }
  file.resize(bytes);
  return ReplaceFile(path, file);
}

}  // namespace tamer
