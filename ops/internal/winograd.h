#ifndef TAMER_OPS_INTERNAL_WINOGRAD_H_
#define TAMER_OPS_INTERNAL_WINOGRAD_H_

#include <cstdint>
#include <memory>

#include "ops/internal/conv.h"

// Convolutions of 3 x 3 and 5 x 5 with fewer multiplications: Winograd's
// minimal filtering (Lavin and Gray 2016, "Fast algorithms for convolutional
// neural networks", section 4), F(4 x 4, 3 x 3) and F(2 x 2, 5 x 5). Both take
// pieces of 6 x 6 of the image to 36 points, (0, 1, -1, 2, -2, infinity) each
// way, at which a product of matrices, [pieces, in] and [in, out], stands for
// the convolution: 36 multiplications make 16 results of 9, or 4 of 25, which
// is 4 or 2.8 times fewer. The gradients are the transposed maps, so they are
// the derivatives of what is computed.
//
// Rounding errors are about ten times those of the plain sum: some 1e-6 of a
// result's largest terms.

namespace tamer {

// Whether it is expected to be faster than the plain sum, on this CPU: channels
// last, two spatial dimensions, stride 1, no groups, no dilation, enough
// channels to pay for the way to the points and back.
bool CanWinograd(const ConvShape& shape);

// The kernels of conv.h for such shapes; no activation but ReLU. They work on
// AVX-512 alone.
std::unique_ptr<Kernel> MakeWinograd(const ConvShape& shape,
                                     const ConvSettings& settings);
std::unique_ptr<Kernel> MakeWinogradInputGradient(const ConvShape& shape);
std::unique_ptr<Kernel> MakeWinogradWeightGradient(const ConvShape& shape,
                                                   bool bias);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_WINOGRAD_H_
