#ifndef TAMER_OPS_INTERNAL_CONV_TILES_H_
#define TAMER_OPS_INTERNAL_CONV_TILES_H_

#include <cstdint>
#include <vector>

#include "ops/internal/conv.h"

// Convolutions with channels last as products in tiles whose sums stay in
// AVX-512 registers, for numbers of channels that aren't multiples of 16, where
// oneDNN computes with zeros: a rest of up to 8 columns costs half a vector.
// The input's windows are read where they lie, never copied out ("implicit
// GEMM"): with channels last, a row of a window is one run of kernel * channels
// numbers.

namespace tamer {

// Whether there are tiles for this convolution, and on this CPU, and they are
// expected to be faster than oneDNN: channels last, two spatial dimensions or
// one, no groups, no dilation along rows, not all channels multiples of 16.
bool CanTileConv(const ConvShape& shape);

// The kernels of conv.h for such shapes; no activation but ReLU.
std::unique_ptr<Kernel> MakeTiledConv(const ConvShape& shape,
                                      const ConvSettings& settings);
std::unique_ptr<Kernel> MakeTiledInputGradient(const ConvShape& shape);
std::unique_ptr<Kernel> MakeTiledWeightGradient(const ConvShape& shape,
                                                bool bias);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_CONV_TILES_H_
