#include "ops/internal/window.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_join.h"

namespace tamer {
namespace {

// Beyond this no tensor goes, and products of two stay far from overflow.
constexpr int64_t kMost = int64_t{1} << 24;
constexpr double kMostElements = int64_t{1} << 38;

// Two numbers a dimension, before and behind.
absl::StatusOr<std::vector<int64_t>> PadsOf(const std::vector<int64_t>& given,
                                            int rank) {
  for (int64_t pad : given) {
    if (pad < 0 || pad > kMost) {
      return Invalid("pad is ", pad, "; it must be 0 to ", kMost);
    }
  }
  const size_t n = rank;
  std::vector<int64_t> pads(2 * n, 0);
  if (given.empty()) return pads;
  if (given.size() != 1 && given.size() != n && given.size() != 2 * n) {
    return Invalid("pad has ", given.size(), " numbers, but the input ", rank,
                   " spatial dimensions; give one for all, one each, or two "
                   "each");
  }
  for (size_t i = 0; i < 2 * n; ++i) {
    pads[i] = given.size() == 1   ? given[0]
              : given.size() == n ? given[i / 2]
                                  : given[i];
  }
  return pads;
}

void PlaceSame(WindowAxis* axis) {
  const int64_t span = (axis->kernel - 1) * axis->dilation + 1;
  axis->out = (axis->in + axis->stride - 1) / axis->stride;
  const int64_t missing =
      std::max<int64_t>(0, (axis->out - 1) * axis->stride + span - axis->in);
  axis->before = missing / 2;
  axis->after = missing - axis->before;
}

absl::Status PlaceValid(WindowAxis* axis) {
  const int64_t span = (axis->kernel - 1) * axis->dilation + 1;
  if (axis->before >= span || axis->after >= span) {
    return Invalid("pad is ", std::max(axis->before, axis->after),
                   ", but a window reaches over ", span,
                   "; some windows would see padding alone");
  }
  const int64_t padded = axis->in + axis->before + axis->after;
  if (padded < span) {
    return Invalid("a window reaches over ", span, ", but the input has only ",
                   padded, " along a dimension, ", padded - axis->in,
                   " of them padding; use a smaller kernel, more pad, or "
                   "padding: SAME");
  }
  axis->out = (padded - span) / axis->stride + 1;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageDims> ImageOf(const Shape& x, bool channels_last) {
  const char* order =
      channels_last ? "[B, ..., channels]" : "[B, channels, ...]";
  if (x.rank() < 3 || x.rank() > 5) {
    return Invalid("the input must be ", order, " with one to three spatial ",
                   "dimensions, but is ", x.ToString());
  }
  for (int i = 1; i < x.rank(); ++i) {
    if (x.dim(i) < 1 || x.dim(i) > kMost) {
      return Invalid("the input must be ", order, ", all but B from 1 to ",
                     kMost, ", but is ", x.ToString());
    }
  }
  ImageDims image;
  image.batch = x.dim(0);
  const auto first = x.dims().begin();
  image.channels = channels_last ? x.back() : x.dim(1);
  image.spatial.assign(first + (channels_last ? 1 : 2),
                       x.dims().end() - (channels_last ? 1 : 0));
  return image;
}

absl::StatusOr<Shape> ShapeOf(const ImageDims& image, bool channels_last) {
  std::vector<int64_t> dims = {image.batch};
  if (!channels_last) dims.push_back(image.channels);
  dims.insert(dims.end(), image.spatial.begin(), image.spatial.end());
  if (channels_last) dims.push_back(image.channels);
  double elements = 1;
  for (int64_t dim : dims) elements *= std::abs(static_cast<double>(dim));
  const Shape shape(std::move(dims));
  if (elements > kMostElements) {
    return Invalid("the output would be ", shape.ToString(),
                   ": more than 2^38 numbers a sample");
  }
  return shape;
}

absl::StatusOr<std::vector<int64_t>> PerDimension(
    const char* name, const std::vector<int64_t>& given, int rank,
    int64_t least) {
  if (given.size() != 1 && given.size() != static_cast<size_t>(rank)) {
    return Invalid(name, " has ", given.size(), " numbers, but the input ",
                   rank,
                   rank == 1 ? " spatial dimension" : " spatial dimensions",
                   "; give one for all or one each");
  }
  for (int64_t number : given) {
    if (number < least || number > kMost) {
      return Invalid(name, " is ", number, "; it must be ", least, " to ",
                     kMost);
    }
  }
  std::vector<int64_t> all = given;
  all.resize(rank, given[0]);
  return all;
}

absl::StatusOr<std::vector<WindowAxis>> SlideWindow(
    const WindowParams& params, const std::vector<int64_t>& spatial) {
  const int rank = static_cast<int>(spatial.size());
  const std::vector<int64_t> one = {1};
  TAMER_ASSIGN_OR_RETURN(const auto kernel,
                         PerDimension("kernel", params.kernel, rank, 1));
  TAMER_ASSIGN_OR_RETURN(
      const auto stride,
      PerDimension("stride", params.stride.empty() ? one : params.stride, rank,
                   1));
  TAMER_ASSIGN_OR_RETURN(
      const auto dilation,
      PerDimension("dilation", params.dilation.empty() ? one : params.dilation,
                   rank, 1));
  TAMER_ASSIGN_OR_RETURN(const auto pad, PadsOf(params.pad, rank));
  if (params.padding == op::SAME && !params.pad.empty()) {
    return Invalid("padding: SAME decides the padding itself, but pad is [",
                   absl::StrJoin(params.pad, ", "), "]; leave one out");
  }
  std::vector<WindowAxis> axes(rank);
  for (int i = 0; i < rank; ++i) {
    WindowAxis& axis = axes[i];
    axis.in = spatial[i];
    axis.kernel = kernel[i];
    axis.stride = stride[i];
    axis.dilation = dilation[i];
    axis.before = pad[2 * i];
    axis.after = pad[2 * i + 1];
    if (params.padding == op::SAME) {
      PlaceSame(&axis);
    } else {
      TAMER_RETURN_IF_ERROR(PlaceValid(&axis));
    }
  }
  return axes;
}

}  // namespace tamer
