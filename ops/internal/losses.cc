#include "ops/internal/losses.h"

#include <cmath>

#include "core/base/parallel.h"
#include "ops/internal/checks.h"
#include "ops/internal/vector_math.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

// The compiler may add lanes up in an order that depends on the vector width,
// never on threads.
TAMER_VECTORIZED float Largest(const float* x, int64_t n) {
  float most = x[0];
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

TAMER_VECTORIZED float SumOf(const float* x, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

// exp(x - most) to y; returns their sum. y may be x.
TAMER_VECTORIZED float ExpRow(const float* x, float most, int64_t n, float* y) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    y[i] = Exp(x[i] - most);
    sum += y[i];
  }
  return sum;
}

TAMER_VECTORIZED float SumExp(const float* x, float most, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += Exp(x[i] - most);
  return sum;
}

TAMER_VECTORIZED void ScaleRow(float* y, float factor, float shift, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] * factor - shift;
}

// sum(target * (x - most)).
TAMER_VECTORIZED float WeighedSum(const float* x, float most,
                                  const float* target, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += target[i] * (x[i] - most);
  return sum;
}

TAMER_VECTORIZED void ScaleAndSubtract(float* y, float factor, float scale,
                                       const float* target, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] * factor - scale * target[i];
}

TAMER_VECTORIZED int64_t CountBefore(const float* x, int64_t n, float own,
                                     int64_t label) {
  int32_t before = 0;
#pragma omp simd reduction(+ : before)
  for (int64_t i = 0; i < label; ++i) before += x[i] >= own;
#pragma omp simd reduction(+ : before)
  for (int64_t i = label + 1; i < n; ++i) before += x[i] > own;
  return before;
}

}  // namespace

absl::Status EmitLossGradient(GradientBuilder& g, int input, int output,
                              bool negated) {
  std::string value = g.Output(output);
  const std::string suffix =
      input == 0 ? "scaled" : absl::StrCat("scaled", input);
  if (!g.OutputGradientIsOne(0)) {
    TAMER_ASSIGN_OR_RETURN(
        value, g.Emit(suffix, op::Mul(), {value, g.OutputGradient(0)}));
  }
  if (negated) {
    op::Scale negate;
    negate.set_factor(-1);
    TAMER_ASSIGN_OR_RETURN(value, g.Emit("target", negate, {value}));
  }
  g.SetGradient(input, value);
  return absl::OkStatus();
}

absl::Status CheckLabels(Types inputs, bool sequences) {
  TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "logits, labels"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
  const Shape& logits = inputs[0].shape;
  const int rank = logits.rank();
  if (rank < 2 || (rank > 2 && !sequences) || logits.back() < 2) {
    return Invalid("logits must be [B, ", sequences ? "..., " : "",
                   "classes] with at least 2 classes, but are ",
                   logits.ToString());
  }
  std::vector<int64_t> dims = logits.dims();
  dims.pop_back();
  const TensorType expected = {DType::kInt32, Shape(dims)};
  if (inputs[1] != expected) {
    return Invalid("labels must be ", expected.ToString(), ", but are ",
                   inputs[1].ToString());
  }
  return absl::OkStatus();
}

absl::Status CheckLabelRange(const int32_t* labels, int64_t n, int64_t classes,
                             bool padded) {
  const int32_t least = padded ? -1 : 0;
  for (int64_t i = 0; i < n; ++i) {
    if (labels[i] < least || labels[i] >= classes) {
      return Invalid("label ", labels[i], " is out of range for ", classes,
                     " classes");
    }
  }
  return absl::OkStatus();
}

SmoothedTarget SmoothedTarget::Of(float smoothing, int64_t classes) {
  const float off = smoothing / static_cast<float>(classes);
  return {1 - smoothing + off, off};
}

float SoftmaxLossRow(const float* x, int64_t n, int32_t label,
                     SmoothedTarget target, float scale, float* gradient) {
  const float most = Largest(x, n);
  const float own = x[label] - most;
  // All logits' distance to the largest, for the part spread over all.
  const float others =
      target.off > 0 ? SumOf(x, n) - static_cast<float>(n) * most : 0;
  const float sum = ExpRow(x, most, n, gradient);
  const float log_sum = std::log(sum);
  ScaleRow(gradient, scale / sum, scale * target.off, n);
  gradient[label] -= scale * (target.on - target.off);
  return (target.on - target.off) * (log_sum - own) +
         target.off * (static_cast<float>(n) * log_sum - others);
}

float SoftmaxLossRow(const float* x, int64_t n, const float* target,
                     float total, float scale, float* gradient) {
  const float most = Largest(x, n);
  const float own = WeighedSum(x, most, target, n);
  const float sum = ExpRow(x, most, n, gradient);
  ScaleAndSubtract(gradient, scale * total / sum, scale, target, n);
  return total * std::log(sum) - own;
}

float LogSumExp(const float* x, int64_t n) {
  const float most = Largest(x, n);
  return std::log(SumExp(x, most, n)) + most;
}

int64_t RankOf(const float* x, int64_t n, int32_t label) {
  return CountBefore(x, n, x[label], label);
}

}  // namespace tamer
