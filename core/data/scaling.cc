#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/data/dataset.h"

namespace tamer {
namespace {

TAMER_VECTORIZED void ScaleBytes(const uint8_t* x, float mean, float factor,
                                 int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (static_cast<float>(x[i]) - mean) * factor;
  }
}

TAMER_VECTORIZED void ScaleFloats(const float* x, float mean, float factor,
                                  int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - mean) * factor;
}

template <typename T>
void ScaleEach(const T* x, const float* mean, const float* factor, int64_t n,
               float* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (static_cast<float>(x[i]) - mean[i]) * factor[i];
  }
}

float ValueAt(const Dataset& data, int64_t index) {
  return data.dtype == DType::kUint8 ? static_cast<float>(data.bytes[index])
                                     : data.floats[index];
}

}  // namespace

FeatureScaling FeatureScaling::Fit(Scaling kind, const Dataset& train) {
  FeatureScaling scaling;
  if (kind == UNIT && train.dtype == DType::kUint8) {
    scaling.factor = {1.0f / 255.0f};
  }
  if (kind != STANDARDIZE || train.dtype == DType::kInt32) return scaling;
  const int64_t width = train.sample_elements();
  std::vector<double> sum(width, 0), squares(width, 0);
  for (int64_t row = 0; row < train.size; ++row) {
    for (int64_t i = 0; i < width; ++i)
      sum[i] += ValueAt(train, row * width + i);
  }
  scaling.mean.resize(width);
  scaling.factor.resize(width);
  for (int64_t i = 0; i < width; ++i) sum[i] /= static_cast<double>(train.size);
  for (int64_t row = 0; row < train.size; ++row) {
    for (int64_t i = 0; i < width; ++i) {
      const double d = ValueAt(train, row * width + i) - sum[i];
      squares[i] += d * d;
    }
  }
  for (int64_t i = 0; i < width; ++i) {
    const double deviation = std::sqrt(squares[i] / train.size);
    scaling.mean[i] = static_cast<float>(sum[i]);
    scaling.factor[i] =
        deviation > 1e-12 ? static_cast<float>(1 / deviation) : 1.0f;
  }
  return scaling;
}

void FeatureScaling::Apply(const Dataset& data, int64_t row, IndexRange part,
                           float* out) const {
  const int64_t at = row * data.sample_elements() + part.begin;
  const int64_t n = part.size();
  out += part.begin;
  const bool bytes = data.dtype == DType::kUint8;
  if (mean.size() == 1) {
    if (bytes) {
      ScaleBytes(data.bytes.data() + at, mean[0], factor[0], n, out);
    } else {
      ScaleFloats(data.floats.data() + at, mean[0], factor[0], n, out);
    }
    return;
  }
  const float* means = mean.data() + part.begin;
  const float* factors = factor.data() + part.begin;
  if (bytes) {
    ScaleEach(data.bytes.data() + at, means, factors, n, out);
  } else {
    ScaleEach(data.floats.data() + at, means, factors, n, out);
  }
}

void FeatureScaling::ApplyTo(const float* sample, int64_t width,
                             float* out) const {
  if (mean.size() == 1) {
    ScaleFloats(sample, mean[0], factor[0], width, out);
  } else {
    ScaleEach(sample, mean.data(), factor.data(), width, out);
  }
}

void FeatureScaling::Apply(const Dataset& data, int64_t row, float* out) const {
  Apply(data, row, {0, data.sample_elements()}, out);
}

}  // namespace tamer
