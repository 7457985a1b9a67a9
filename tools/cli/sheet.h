#ifndef TAMER_TOOLS_CLI_SHEET_H_
#define TAMER_TOOLS_CLI_SHEET_H_

#include <string>
#include <vector>

#include "core/base/shape.h"
#include "core/base/status.h"

namespace tamer {

// A sheet of grey images, so many a row, with a line between them.
struct Sheet {
  int64_t height = 0, width = 0;  // of one image
  int64_t columns = 10;
  int64_t scale = 2;  // pixels a side for each number
  // Whether each image's own range becomes black to white, zero always the same
  // grey (filters); else 0 is black and 1 white.
  bool each_range = false;
};

// Height and width of samples of this many numbers: as `shape` has them, [h, w]
// or [1, h, w]; else square, or one row.
void ImageSize(const Shape& shape, int64_t elements, Sheet* sheet);

// Writes `count` images, one after another in `values`, to a PNG file, which
// appears whole or not at all.
absl::Status WriteSheet(const std::string& path, const Sheet& sheet,
                        const std::vector<float>& values, int64_t count);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_SHEET_H_
