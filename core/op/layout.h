#ifndef TAMER_CORE_OP_LAYOUT_H_
#define TAMER_CORE_OP_LAYOUT_H_

#include <memory>
#include <vector>

#include "core/op/op.h"

// The order of an image's dimensions. Networks are written with channels first,
// [B, C, H, W]; convolutions are faster with channels last, [B, H, W, C]. The
// pass Layout (core/passes) turns what it can into the second order, with
// op/Reorder nodes at the borders. Tensors stay dense and row-major: an image
// with channels last has that shape too, wherever it is seen.
//
// "Images" of a node are its batched inputs and outputs of rank 3 to 5:
// [B, C, spatial dimensions...]. All else, as weights and statistics, has one
// order. In a node with channels last all images stand so.
//
// An op says what it can do in one of three ways:
// - nothing: its images stay with channels first;
// - it has a parameter `optional bool channels_last`: the pass sets that.
// Infer,
//   Gradient and Compile obey it; Gradient hands it on to what it emits;
// - it overrides Op::ChannelsLast. An elementwise op, which treats all elements
//   alike whatever their order: `return CopyOf(params);`.
//
// A node gets channels last if its op prefers that (Op::PrefersChannelsLast:
// convolutions), or if it can and one of its images comes from a node that has
// them so. Nodes whose image is the graph's output keep their order.

namespace tamer {

// The same parameters.
std::unique_ptr<OpParams> CopyOf(const OpParams& params);

// The same with `channels_last` set; null if there is no such parameter, or it
// is set already.
std::unique_ptr<OpParams> WithChannelsLast(const OpParams& params);

// The place with channels last of an axis counted with channels first, in an
// image of this rank; negative axes count from the last.
int AxisWithChannelsLast(int axis, int rank);

// Whether values of this type are images. Of shapes before the batch is bound.
bool IsImage(const TensorType& type);

// [B, C, H, W] to [B, H, W, C], and back.
Shape ToChannelsLast(const Shape& shape);
Shape ToChannelsFirst(const Shape& shape);

}  // namespace tamer

#endif  // TAMER_CORE_OP_LAYOUT_H_
