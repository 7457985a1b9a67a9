#include <cmath>

#include "ops/internal/conv.h"

namespace tamer {
namespace {

constexpr int64_t kMostChannels = int64_t{1} << 24;
constexpr double kMostWeights = int64_t{1} << 36;

}  // namespace

ImageDims ConvShape::x() const {
  ImageDims image{batch, in, {}};
  for (const WindowAxis& axis : axes) image.spatial.push_back(axis.in);
  return image;
}

ImageDims ConvShape::y() const {
  ImageDims image{batch, out, {}};
  for (const WindowAxis& axis : axes) image.spatial.push_back(axis.out);
  return image;
}

Shape ConvShape::weight() const {
  Shape shape({out, in / groups});
  for (const WindowAxis& axis : axes) shape.push_back(axis.kernel);
  return shape;
}

double ConvShape::flops() const {
  double flops = 2.0 * static_cast<double>(batch) *
                 static_cast<double>(weight().elements());
  for (const WindowAxis& axis : axes) flops *= static_cast<double>(axis.out);
  return flops;
}

op::ConvGeometry GeometryOf(const ConvShape& shape) {
  op::ConvGeometry geometry;
  for (const WindowAxis& axis : shape.axes) {
    geometry.add_size(axis.in);
    geometry.add_kernel(axis.kernel);
    geometry.add_stride(axis.stride);
    geometry.add_dilation(axis.dilation);
    geometry.add_pad(axis.before);
    geometry.add_pad(axis.after);
  }
  geometry.set_groups(shape.groups);
  return geometry;
}

absl::StatusOr<std::vector<WindowAxis>> AxesOf(const op::ConvGeometry& given) {
  WindowParams params;
  params.kernel = ToVector(given.kernel());
  params.stride = ToVector(given.stride());
  params.dilation = ToVector(given.dilation());
  params.pad = ToVector(given.pad());
  if (given.size_size() < 1 || given.size_size() > 3) {
    return Invalid("geometry.size has ", given.size_size(),
                   " numbers; it must have one to three");
  }
  for (int64_t size : given.size()) {
    if (size < 1 || size > kMostChannels) {
      return Invalid("geometry.size is ", size, "; it must be 1 to ",
                     kMostChannels);
    }
  }
  return SlideWindow(params, ToVector(given.size()));
}

absl::Status CheckChannels(const ConvShape& shape, const char* in,
                           const char* out) {
  if (shape.out < 1 || shape.out > kMostChannels) {
    return Invalid(out, " is ", shape.out, "; it must be 1 to ", kMostChannels);
  }
  if (shape.in < 1 || shape.in > kMostChannels) {
    return Invalid(in, " is ", shape.in, "; it must be 1 to ", kMostChannels);
  }
  if (shape.groups < 1 || shape.groups > kMostChannels) {
    return Invalid("groups is ", shape.groups, "; it must be 1 to ",
                   kMostChannels);
  }
  if (shape.in % shape.groups != 0) {
    return Invalid(in, " is ", shape.in, ", which ", shape.groups,
                   " groups don't divide; make it a multiple, or groups a "
                   "divisor");
  }
  if (shape.out % shape.groups != 0) {
    return Invalid(out, " is ", shape.out, ", which ", shape.groups,
                   " groups don't divide; make it a multiple, or groups a "
                   "divisor");
  }
  double weights = static_cast<double>(shape.out) *
                   static_cast<double>(shape.in / shape.groups);
  for (const WindowAxis& axis : shape.axes) {
    weights *= static_cast<double>(axis.kernel);
  }
  if (weights > kMostWeights) {
    return Invalid("the weight would have ", weights,
                   " elements; at most 2^36 are allowed");
  }
  return absl::OkStatus();
}

}  // namespace tamer
