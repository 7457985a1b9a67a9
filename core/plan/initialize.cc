#include "core/plan/initialize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/random.h"

namespace tamer {
namespace {

struct Fans {
  double in, out;
};

Fans FansOf(const Shape& shape) {
  if (shape.rank() < 2) {
    const double n = static_cast<double>(shape.elements());
    return {n, n};
  }
  const int64_t in = shape.dim(shape.rank() - 2), out = shape.back();
  const double field = static_cast<double>(shape.elements() / (in * out));
  return {static_cast<double>(in) * field, static_cast<double>(out) * field};
}

void FillUniformBetween(uint64_t key, double low, double high,
                        const Tensor& tensor) {
  FillUniform(key, 0, tensor.elements(), tensor.floats());
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.floats()[i] =
        static_cast<float>(low + (high - low) * tensor.floats()[i]);
  }
}

void FillNormal(uint64_t key, double mean, double stddev,
                const Tensor& tensor) {
  FillGaussian(key, 0, tensor.elements(), tensor.floats());
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.floats()[i] = static_cast<float>(mean + stddev * tensor.floats()[i]);
  }
}

// Of this variance, uniform or Gaussian.
void FillVariance(uint64_t key, double variance, bool gaussian,
                  const Tensor& tensor) {
  if (gaussian) {
    FillNormal(key, 0, std::sqrt(variance), tensor);
  } else {
    const double limit = std::sqrt(3 * variance);
    FillUniformBetween(key, -limit, limit, tensor);
  }
}

// Gram and Schmidt's process, each projection twice, over the shorter side's
// vectors of a Gaussian matrix.
absl::Status FillOrthogonal(uint64_t key, double gain, const Tensor& tensor) {
  if (tensor.shape.rank() < 2) {
    return Invalid("orthogonal needs a matrix, not ", tensor.shape.ToString());
  }
  const int64_t rows = tensor.shape.rows(), columns = tensor.shape.back();
  const int64_t vectors = std::min(rows, columns);
  const int64_t length = std::max(rows, columns);
  FillGaussian(key, 0, tensor.elements(), tensor.floats());
  std::vector<double> q(tensor.floats(), tensor.floats() + tensor.elements());
  for (int64_t v = 0; v < vectors; ++v) {
    double* own = q.data() + v * length;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t u = 0; u < v; ++u) {
        const double* other = q.data() + u * length;
        double dot = 0;
        for (int64_t i = 0; i < length; ++i) dot += own[i] * other[i];
        for (int64_t i = 0; i < length; ++i) own[i] -= dot * other[i];
      }
    }
    double square = 0;
    for (int64_t i = 0; i < length; ++i) square += own[i] * own[i];
    const double factor = 1 / std::sqrt(square);
    for (int64_t i = 0; i < length; ++i) own[i] *= factor;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const double value =
          rows <= columns ? q[r * length + c] : q[c * length + r];
      tensor.floats()[r * columns + c] = static_cast<float>(gain * value);
    }
  }
  return absl::OkStatus();
}

absl::Status Fill(const Initializer& init, uint64_t key, const Tensor& tensor) {
  const Fans fans = FansOf(tensor.shape);
  switch (init.kind_case()) {
    case Initializer::kConstant:
      if (!std::isfinite(init.constant().value())) {
        return Invalid("constant is ", init.constant().value());
      }
      std::fill_n(tensor.floats(), tensor.elements(), init.constant().value());
      return absl::OkStatus();
    case Initializer::kUniform:
      if (!(init.uniform().low() <= init.uniform().high()) ||
          !std::isfinite(init.uniform().high() - init.uniform().low())) {
        return Invalid("uniform from ", init.uniform().low(), " to ",
                       init.uniform().high(), " is no range");
      }
      FillUniformBetween(key, init.uniform().low(), init.uniform().high(),
                         tensor);
      return absl::OkStatus();
    case Initializer::kGaussian:
      if (!(init.gaussian().stddev() >= 0) ||
          !std::isfinite(init.gaussian().stddev() + init.gaussian().mean())) {
        return Invalid("gaussian of mean ", init.gaussian().mean(),
                       " and stddev ", init.gaussian().stddev(),
                       "; stddev must be at least 0");
      }
      FillNormal(key, init.gaussian().mean(), init.gaussian().stddev(), tensor);
      return absl::OkStatus();
    case Initializer::kXavier:
      FillVariance(key, 2 / (fans.in + fans.out), init.xavier().gaussian(),
                   tensor);
      return absl::OkStatus();
    case Initializer::kHe:
      FillVariance(key, 2 / fans.in, init.he().gaussian(), tensor);
      return absl::OkStatus();
    case Initializer::kOrthogonal:
      if (!std::isfinite(init.orthogonal().gain())) {
        return Invalid("orthogonal gain is ", init.orthogonal().gain());
      }
      return FillOrthogonal(key, init.orthogonal().gain(), tensor);
    case Initializer::kZero:
    case Initializer::KIND_NOT_SET:
      break;
  }
  std::memset(tensor.data, 0, tensor.bytes());
  return absl::OkStatus();
}

}  // namespace

absl::Status Initialize(const Initializer& initializer, uint64_t seed,
                        const std::string& name, const Tensor& tensor) {
  const bool zero = initializer.kind_case() == Initializer::kZero ||
                    initializer.kind_case() == Initializer::KIND_NOT_SET;
  if (!zero && tensor.dtype != DType::kFloat) {
    return Invalid("parameter \"", name, "\": a tensor of ", Name(tensor.dtype),
                   " can only begin as zero");
  }
  return Annotate(Fill(initializer, StreamKey(seed, "init/" + name), tensor),
                  absl::StrCat("parameter \"", name, "\""));
}

}  // namespace tamer
