#ifndef TAMER_CORE_DATA_IMAGE_H_
#define TAMER_CORE_DATA_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

// Pictures from files of unknown worth.

namespace tamer {

// Rows from the top, pixels from the left, channels (1: grey, 3: red, green,
// blue) together.
struct Picture {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// The picture in the bytes of a PNG or JPEG file, of 1 or 3 channels whatever
// the file has; what is transparent is white. A JPEG file may come smaller than
// it is, by a power of two, but not below the height and width given.
absl::StatusOr<Picture> DecodePicture(const std::string& bytes,
                                      int64_t channels, int64_t height,
                                      int64_t width);

// What DecodePicture does for one format.
absl::StatusOr<Picture> DecodePng(const std::string& bytes, int64_t channels);
absl::StatusOr<Picture> DecodeJpeg(const std::string& bytes, int64_t channels,
                                   int64_t height, int64_t width);

// An error if a file claims to hold more pixels than is sensible.
absl::Status CheckPictureSize(int64_t height, int64_t width);

// Scales `picture` to height x width and writes [channels, height, width] to
// `out`: each pixel is the mean of the area it covers, or where it is smaller
// than the picture's own the bilinear mean of its neighbours. With `crop` the
// sides' ratio stays, and what is over is cut off evenly at both ends.
void FitPicture(const Picture& picture, int64_t height, int64_t width,
                bool crop, uint8_t* out);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_IMAGE_H_
