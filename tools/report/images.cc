#include "tools/report/images.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/escaping.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

// Rows narrower than this are no images but a few numbers.
constexpr int64_t kLeastSide = 4;

struct Size {
  int64_t channels = 1, height = 0, width = 0;
  int64_t elements() const { return channels * height * width; }
};

// How samples of this shape are seen: [h, w], [c, h, w], or a square number of
// them as a square.
std::optional<Size> ImageSize(const std::vector<int64_t>& dims) {
  Size size;
  if (dims.size() == 3) size.channels = dims[0];
  if (dims.size() == 2 || dims.size() == 3) {
    size.height = dims[dims.size() - 2];
    size.width = dims.back();
  } else if (dims.size() == 1) {
    size.height = size.width = std::lround(std::sqrt(double(dims[0])));
    if (size.elements() != dims[0]) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (size.channels != 1 && size.channels != 3) return std::nullopt;
  if (std::min(size.height, size.width) < kLeastSide) return std::nullopt;
  return size;
}

Json ToJson(const Size& size, int64_t count, const std::string& bytes) {
  return {{"height", size.height},
          {"width", size.width},
          {"channels", size.channels},
          {"count", count},
          {"bytes", absl::Base64Escape(bytes)}};
}

// Image `n` out of channels first: at(c, y, x).
template <typename At>
void Append(const Size& size, const At& at, std::string* bytes) {
  for (int64_t y = 0; y < size.height; ++y) {
    for (int64_t x = 0; x < size.width; ++x) {
      for (int64_t c = 0; c < size.channels; ++c) {
        const float value = std::min(255.0f, std::max(0.0f, at(c, y, x)));
        bytes->push_back(static_cast<char>(std::lround(value)));
      }
    }
  }
}

// The first node with a weight matrix or kernels that reads the input, but for
// nodes without parameters in between; and its weight.
const Node* FirstLayer(const Graph& network, ValueId* weight) {
  for (const Node& node : network.nodes()) {
    for (ValueId id : node.variables) {
      const Value& value = network.value(id);
      const bool image =
          value.type.shape.rank() == 2 || value.type.shape.rank() == 4;
      if (value.type.dtype != DType::kFloat || !image) continue;
      *weight = id;
      return &node;
    }
  }
  return nullptr;
}

}  // namespace

Json FirstFilters(const Product& product, const Dataset* data, int64_t most) {
  const Graph& network = product.network;
  if (network.inputs().empty()) return nullptr;
  const TensorType& input = network.value(network.inputs()[0]).type;
  ValueId id = -1;
  const Node* node = FirstLayer(network, &id);
  if (node == nullptr || input.dtype != DType::kFloat) return nullptr;
  const Shape& shape = network.value(id).type.shape;
  const Tensor* tensor = product.variables.Find(network.value(id).name);
  if (tensor == nullptr) return nullptr;
  const bool dense = shape.rank() == 2;
  std::optional<Size> size;
  if (dense) {
    std::vector<int64_t> dims(input.shape.dims().begin() + 1,
                              input.shape.dims().end());
    // A flat input may be of images all the same.
    if (dims.size() == 1 && data != nullptr &&
        data->sample_elements() == dims[0]) {
      dims = data->sample_shape.dims();
    }
    size = ImageSize(dims);
    if (size.has_value() && size->elements() != shape.dim(0)) return nullptr;
  } else {
    size = Size{shape.dim(1), shape.dim(2), shape.dim(3)};
    if (size->channels != 3) size->channels = 1;  // of more, the first
    if (size->width < 2) return nullptr;
  }
  if (!size.has_value()) return nullptr;
  const int64_t units = dense ? shape.dim(1) : shape.dim(0);
  const int64_t count = std::min(most, units);
  const int64_t step = dense ? units : 1;
  const int64_t each = shape.elements() / units;
  std::string bytes;
  for (int64_t n = 0; n < count; ++n) {
    const float* from = tensor->floats() + (dense ? n : n * each);
    float largest = 1e-12f;
    for (int64_t i = 0; i < size->elements(); ++i) {
      largest = std::max(largest, std::abs(from[i * step]));
    }
    Append(
        *size,
        [&](int64_t c, int64_t y, int64_t x) {
          const int64_t at = (c * size->height + y) * size->width + x;
          return 128 + 127 * from[at * step] / largest;
        },
        &bytes);
  }
  Json json = ToJson(*size, count, bytes);
  json["node"] = node->name;
  json["units"] = units;
  return json;
}

Json SampleImages(const Dataset& data, const std::vector<int64_t>& rows) {
  const auto size = ImageSize(data.sample_shape.dims());
  if (!size.has_value() || data.dtype == DType::kInt32) return nullptr;
  float low = 0, high = 255;
  if (data.dtype == DType::kFloat) {
    const auto ends =
        std::minmax_element(data.floats.begin(), data.floats.end());
    low = *ends.first;
    high = std::max(*ends.second, low + 1e-12f);
  }
  std::string bytes;
  for (int64_t row : rows) {
    const int64_t first = row * size->elements();
    Append(
        *size,
        [&](int64_t c, int64_t y, int64_t x) {
          const int64_t at = first + (c * size->height + y) * size->width + x;
          if (data.dtype == DType::kUint8) return float(data.bytes[at]);
          return 255 * (data.floats[at] - low) / (high - low);
        },
        &bytes);
  }
  return ToJson(*size, static_cast<int64_t>(rows.size()), bytes);
}

}  // namespace tamer
