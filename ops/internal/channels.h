#ifndef TAMER_OPS_INTERNAL_CHANNELS_H_
#define TAMER_OPS_INTERNAL_CHANNELS_H_

#include <cstdint>

#include "core/base/shape.h"
#include "core/base/status.h"

// Loops that treat each channel of a tensor by numbers of its own: moments over
// all else, affine maps, and their gradients. Sums go over fixed blocks, whose
// results are combined in order and in double, whatever the threads.

namespace tamer {

// A tensor [outer, channels, inner]: an image [B, C, H, W] as [B, C, H * W],
// with channels last as [B * H * W, C, 1].
struct ChannelLayout {
  int64_t outer = 1, channels = 1, inner = 1;

  int64_t count() const { return outer * inner; }  // of a channel's elements
  int64_t elements() const { return outer * channels * inner; }

  // Sums are made in so many blocks, an array [blocks, channels] of each kind.
  int64_t blocks() const;
  // Scratch of ChannelMoments and ChannelSums.
  int64_t scratch_bytes() const;
};

// x must have a batch and channels: [B, channels, ...], or last [B, ...,
// channels].
absl::StatusOr<ChannelLayout> ChannelLayoutOf(const Shape& x,
                                              bool channels_last);

// Mean and variance (of division by count()) of each channel. Exact to FP32
// also where the mean is far larger than the deviation.
void ChannelMoments(const ChannelLayout& layout, const float* x, void* scratch,
                    float* mean, float* variance);

// y = (x - mean[c]) * factor[c] + shift[c] + residual, and if `relu` what is
// below zero is zero. residual may be null; y may be x or residual.
void ChannelAffine(const ChannelLayout& layout, const float* x,
                   const float* mean, const float* factor, const float* shift,
                   const float* residual, bool relu, float* y);

// The sums over each channel of g and of g * (x - mean[c]), where g is dy, or
// if y is not null dy where y > 0 and else 0.
void ChannelSums(const ChannelLayout& layout, const float* dy, const float* y,
                 const float* x, const float* mean, void* scratch, float* sum,
                 float* moment);

// dx = a[c] * g + b[c] * (x - mean[c]) + d[c]. Unless `g_out` is null it gets
// g. dx may be dy.
void ChannelGradient(const ChannelLayout& layout, const float* dy,
                     const float* y, const float* x, const float* mean,
                     const float* a, const float* b, const float* d, float* dx,
                     float* g_out);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_CHANNELS_H_
