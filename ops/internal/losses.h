#ifndef TAMER_OPS_INTERNAL_LOSSES_H_
#define TAMER_OPS_INTERNAL_LOSSES_H_

#include <cstdint>
#include <string>

#include "core/op/gradient.h"

// What losses share: the rules of their labels, the softmax of a row, and how
// the gradient that they found while computing their value is passed on.

namespace tamer {

// The gradient of input `input`: the node's output `output`, times what flows
// into output 0, and -1 if `negated`.
absl::Status EmitLossGradient(GradientBuilder& g, int input, int output = 1,
                              bool negated = false);

// Logits [..., classes] of at least two classes, and INT32 labels of that shape
// without the classes; of [B, classes] and [B] only, unless `sequences`.
absl::Status CheckLabels(absl::Span<const TensorType> inputs, bool sequences);

// All in [0, classes), or -1 where nothing is asked if `padded`.
absl::Status CheckLabelRange(const int32_t* labels, int64_t n, int64_t classes,
                             bool padded);

// Probability of the label, and of each other class.
struct SmoothedTarget {
  float on = 1, off = 0;

  // `smoothing` of the target spread evenly over all classes.
  static SmoothedTarget Of(float smoothing, int64_t classes);
};

// -sum(target * log softmax(x)) of a row of n logits; `gradient` gets scale *
// (softmax(x) - target), and may be x.
float SoftmaxLossRow(const float* x, int64_t n, int32_t label,
                     SmoothedTarget target, float scale, float* gradient);

// The same with a target for each class, whose sum is `total`; the gradient is
// scale * (total * softmax(x) - target).
float SoftmaxLossRow(const float* x, int64_t n, const float* target,
                     float total, float scale, float* gradient);

// log(sum(exp(x))) of a row.
float LogSumExp(const float* x, int64_t n);

// How many of the row's n logits would be named before that of `label`: those
// larger, or equal and earlier.
int64_t RankOf(const float* x, int64_t n, int32_t label);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_LOSSES_H_
