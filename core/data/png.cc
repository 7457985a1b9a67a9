#include <png.h>

#include <algorithm>

#include "core/data/image.h"

namespace tamer {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;

// ITU-R BT.601, as JPEG has it.
uint8_t Grey(const uint8_t* rgb) {
  return static_cast<uint8_t>(
      (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
}

}  // namespace

absl::Status CheckPictureSize(int64_t height, int64_t width) {
  if (height >= 1 && width >= 1 && height <= kMostPixels / width) {
    return absl::OkStatus();
  }
  return Invalid("a picture of ", width, " x ", height, " pixels is not read");
}

absl::StatusOr<Picture> DecodePng(const std::string& bytes, int64_t channels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) ==
      0) {
    return Invalid("not a PNG file that can be read: ", image.message);
  }
  Picture picture;
  picture.height = image.height;
  picture.width = image.width;
  picture.channels = channels;
  const absl::Status size = CheckPictureSize(picture.height, picture.width);
  if (!size.ok()) {
    png_image_free(&image);
    return size;
  }
  // As colours, whatever it is: libpng would weigh a grey one in linear light.
  image.format = PNG_FORMAT_RGB;
  picture.pixels.resize(picture.height * picture.width * 3);
  const png_color white = {255, 255, 255};
  if (png_image_finish_read(&image, &white, picture.pixels.data(), 0,
                            nullptr) == 0) {
    return Invalid("damaged PNG file: ", image.message);
  }
  if (channels == 1) {
    const int64_t count = picture.height * picture.width;
    for (int64_t i = 0; i < count; ++i) {
      picture.pixels[i] = Grey(picture.pixels.data() + 3 * i);
    }
    picture.pixels.resize(count);
  }
  return picture;
}

absl::StatusOr<Picture> DecodePicture(const std::string& bytes,
                                      int64_t channels, int64_t height,
                                      int64_t width) {
  if (bytes.compare(0, 4, "\x89PNG") == 0) return DecodePng(bytes, channels);
  if (bytes.compare(0, 2, "\xff\xd8") == 0) {
    return DecodeJpeg(bytes, channels, height, width);
  }
  return Invalid("neither a PNG nor a JPEG file");
}

}  // namespace tamer
