#ifndef TAMER_TOOLS_REPORT_IMAGES_H_
#define TAMER_TOOLS_REPORT_IMAGES_H_

#include <nlohmann/json.hpp>
#include <vector>

#include "core/data/dataset.h"
#include "core/train/product.h"

// Images as a report holds them: { height, width, channels, count, bytes }, the
// bytes in base64, image after image, row after row, a pixel's channels
// together.

namespace tamer {

// What the units of the first layer with weights look for: their incoming
// weights where the input is an image, a convolution's kernels. 128 is zero,
// each image's largest weight 1 or 255. With "node"; null if there are none.
nlohmann::ordered_json FirstFilters(const Product& product, const Dataset* data,
                                    int64_t most);

// The samples `rows` of `data`; null if they are no images.
nlohmann::ordered_json SampleImages(const Dataset& data,
                                    const std::vector<int64_t>& rows);

}  // namespace tamer

#endif  // TAMER_TOOLS_REPORT_IMAGES_H_
