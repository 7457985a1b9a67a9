#include <algorithm>
#include <cmath>

#include "core/data/image.h"

namespace tamer {
namespace {

// How one side's pixels become fewer or more: each new one is a weighted sum of
// `count` neighbours, from `first` on.
struct Side {
  struct Sum {
    int64_t first = 0, count = 0;
    size_t weights = 0;  // where its weights begin
  };
  std::vector<Sum> sums;
  std::vector<float> weights;
};

// `to` new pixels of `scale` old ones each, from `begin` on, of `from` in all.
Side MakeSide(int64_t from, int64_t to, double begin, double scale) {
  Side side;
  for (int64_t i = 0; i < to; ++i) {
    Side::Sum sum;
    sum.weights = side.weights.size();
    if (scale >= 1) {
      const double low = begin + static_cast<double>(i) * scale;
      const double high = low + scale;
      sum.first = std::min(from - 1, static_cast<int64_t>(low));
      for (int64_t k = sum.first; k < from && k < high - 1e-9; ++k) {
        const double part = std::min(high, static_cast<double>(k + 1)) -
                            std::max(low, static_cast<double>(k));
        side.weights.push_back(static_cast<float>(part / scale));
        ++sum.count;
      }
    } else {
      const double middle = begin + (static_cast<double>(i) + 0.5) * scale;
      const double at =
          std::min(std::max(middle - 0.5, 0.0), static_cast<double>(from - 1));
      sum.first =
          std::min(static_cast<int64_t>(at), std::max<int64_t>(0, from - 2));
      const double share = at - static_cast<double>(sum.first);
      sum.count = std::min<int64_t>(2, from);
      side.weights.push_back(static_cast<float>(1 - share));
      if (sum.count == 2) side.weights.push_back(static_cast<float>(share));
    }
    side.sums.push_back(sum);
  }
  return side;
}

// [height, new width, channels] of floats.
std::vector<float> ScaleRows(const Picture& picture, const Side& side) {
  const int64_t channels = picture.channels;
  std::vector<float> out(picture.height * side.sums.size() * channels);
  float* next = out.data();
  for (int64_t y = 0; y < picture.height; ++y) {
    const uint8_t* row = picture.pixels.data() + y * picture.width * channels;
    for (const Side::Sum& sum : side.sums) {
      const float* weights = side.weights.data() + sum.weights;
      for (int64_t c = 0; c < channels; ++c) {
        float value = 0;
        for (int64_t k = 0; k < sum.count; ++k) {
          value += weights[k] * row[(sum.first + k) * channels + c];
        }
        *next++ = value;
      }
    }
  }
  return out;
}

}  // namespace

void FitPicture(const Picture& picture, int64_t height, int64_t width,
                bool crop, uint8_t* out) {
  double down = static_cast<double>(picture.height) / height;
  double right = static_cast<double>(picture.width) / width;
  if (crop) down = right = std::min(down, right);
  const double top = (static_cast<double>(picture.height) - down * height) / 2;
  const double left = (static_cast<double>(picture.width) - right * width) / 2;
  const int64_t channels = picture.channels;
  const std::vector<float> rows =
      ScaleRows(picture, MakeSide(picture.width, width, left, right));
  const Side side = MakeSide(picture.height, height, top, down);
  const int64_t stride = width * channels;
  std::vector<float> sums(stride);
  for (int64_t y = 0; y < height; ++y) {
    const Side::Sum& sum = side.sums[y];
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int64_t k = 0; k < sum.count; ++k) {
      const float weight = side.weights[sum.weights + k];
      const float* row = rows.data() + (sum.first + k) * stride;
      for (int64_t i = 0; i < stride; ++i) sums[i] += weight * row[i];
    }
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        out[(c * height + y) * width + x] = static_cast<uint8_t>(
            std::min(255.0f, sums[x * channels + c] + 0.5f));
      }
    }
  }
}

}  // namespace tamer
