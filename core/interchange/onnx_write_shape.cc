// What moves elements about, and reductions, in ONNX.

#include <algorithm>

#include "core/interchange/onnx_writer.h"
#include "proto/ops/patches.pb.h"
#include "proto/ops/reorder.pb.h"
#include "proto/ops/select.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

using Names = std::vector<std::string>;
using Numbers = std::vector<int64_t>;

// Reshape, Flatten, ReshapeLike: the result's shape is known.
Names ToShape(OnnxWriter& w) { return {w.Reshape(w.In(0), w.OutShape())}; }

Names Transpose(OnnxWriter& w) {
  const auto& perm = w.Op<op::Transpose>().perm();
  Numbers order(perm.begin(), perm.end());
  for (int64_t& axis : order) axis += axis < 0 ? w.InShape(0).rank() : 0;
  return {w.Transpose(w.In(0), order)};
}

Names Reorder(OnnxWriter& w) {
  const int64_t rank = w.InShape(0).rank();
  Numbers order;
  for (int64_t i = 0; i < rank; ++i) order.push_back(i);
  if (w.Op<op::Reorder>().channels_last()) {
    std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  } else {
    std::rotate(order.begin() + 1, order.end() - 1, order.end());
  }
  return {w.Transpose(w.In(0), order)};
}

Names Slice(OnnxWriter& w) {
  const auto& slice = w.Op<op::Slice>();
  const int axis =
      slice.axis() < 0 ? slice.axis() + w.InShape(0).rank() : slice.axis();
  const int64_t end = slice.has_end() ? slice.end() : w.InShape(0).dim(axis);
  return {w.Slice(w.In(0), axis, slice.begin(), end)};
}

Names Pad(OnnxWriter& w) {
  const auto& pad = w.Op<op::Pad>();
  const int rank = w.InShape(0).rank();
  Numbers pads(2 * rank, 0);
  for (int i = 0; i < pad.axis_size(); ++i) {
    const int axis = pad.axis(i) < 0 ? pad.axis(i) + rank : pad.axis(i);
    pads[axis] = i < pad.before_size() ? pad.before(i) : 0;
    pads[rank + axis] = i < pad.after_size() ? pad.after(i) : 0;
  }
  Names inputs = {w.In(0), w.Int64s(pads)};
  std::string mode = pad.mode() == op::Pad::REFLECT ? "reflect" : "edge";
  if (pad.mode() == op::Pad::CONSTANT) {
    mode = "constant";
    inputs.push_back(w.Scalar(pad.value()));
  }
  return {w.Emit("Pad", inputs, {{"mode", mode}})};
}

Names Concat(OnnxWriter& w) {
  Names inputs;
  for (int i = 0; i < w.inputs(); ++i) inputs.push_back(w.In(i));
  return {
      w.Emit("Concat", inputs, {{"axis", int64_t{w.Op<op::Concat>().axis()}}})};
}

Names Split(OnnxWriter& w) {
  const auto& split = w.Op<op::Split>();
  const int axis =
      split.axis() < 0 ? split.axis() + w.InShape(0).rank() : split.axis();
  if (w.InShape(0).dim(axis) < 0) {
    return w.Fail("it cuts the batch, whose size ONNX leaves open");
  }
  const int parts = static_cast<int>(w.node().outputs.size());
  Numbers sizes(split.size().begin(), split.size().end());
  const std::string first = w.Emit("Split", {w.In(0), w.Int64s(sizes)},
                                   {{"axis", int64_t{axis}}}, parts);
  Names results = {first};
  for (int i = 1; i < parts; ++i) {
    results.push_back(absl::StrCat(first, ":", i));
  }
  return results;
}

Names Reduce(OnnxWriter& w) {
  const auto& reduce = w.Op<op::Reduce>();
  Numbers axes(reduce.axis().begin(), reduce.axis().end());
  const bool all = axes.empty();
  for (int i = 0; all && i < w.InShape(0).rank(); ++i) axes.push_back(i);
  const OnnxAttribute drop = {"keepdims", int64_t{0}};
  if (reduce.kind() == op::Reduce::MEAN) {
    return {w.Emit("ReduceMean", {w.In(0)}, {{"axes", axes}, drop})};
  }
  return {w.Emit("ReduceSum", {w.In(0), w.Int64s(axes)}, {drop})};
}

std::string IndexOfMax(OnnxWriter& w, int64_t axis) {
  return w.Cast(w.Emit("ArgMax", {w.In(0)},
                       {{"axis", axis},
                        {"keepdims", int64_t{0}},
                        {"select_last_index", int64_t{0}}}),
                onnx::TensorProto::INT32);
}

Names ArgMax(OnnxWriter& w) {
  return {IndexOfMax(w, w.Op<op::ArgMax>().axis())};
}

Names ReduceMax(OnnxWriter& w) {
  const int64_t axis = w.Op<op::ReduceMax>().axis();
  return {w.Emit("ReduceMax", {w.In(0)},
                 {{"axes", Numbers{axis}}, {"keepdims", int64_t{0}}}),
          IndexOfMax(w, axis)};
}

Names Where(OnnxWriter& w) {
  return {w.Emit("Where",
                 {w.Cast(w.In(0), onnx::TensorProto::BOOL), w.In(1), w.In(2)})};
}

// An index of -1 picks the row of zeros that is put behind the others.
Names Gather(OnnxWriter& w) {
  const int axis = w.Op<op::Gather>().axis();
  const int rank = w.InShape(0).rank();
  Numbers pads(2 * rank, 0);
  pads[rank + axis] = 1;
  const std::string table = w.Emit("Pad", {w.In(0), w.Int64s(pads)});
  if (axis == 0) {
    return {w.Emit("Gather", {table, w.In(1)}, {{"axis", int64_t{0}}})};
  }
  const std::string index =
      w.Unsqueeze(w.Cast(w.In(1), onnx::TensorProto::INT64), {2});
  return {w.Emit("GatherND", {table, index}, {{"batch_dims", int64_t{1}}})};
}

Names TakeTokens(OnnxWriter& w) {
  const std::string index =
      w.Unsqueeze(w.Cast(w.In(1), onnx::TensorProto::INT64), {2});
  return {w.Emit("GatherND", {w.In(0), index}, {{"batch_dims", int64_t{1}}})};
}

Names Constant(OnnxWriter& w) {
  const Shape& shape = w.OutShape();
  return {w.Floats(
      shape.dims(),
      std::vector<float>(shape.elements(), w.Op<op::Constant>().value()))};
}

// Its tensor is read by name.
Names Parameter(OnnxWriter&) { return {}; }

Names Patchify(OnnxWriter& w) {
  const int64_t p = w.Op<op::Patchify>().patch();
  const Shape& x = w.InShape(0);
  const Shape cut({x.dim(0), x.dim(1), x.dim(2) / p, p, x.dim(3) / p, p});
  return {w.Reshape(w.Transpose(w.Reshape(w.In(0), cut), {0, 2, 4, 3, 5, 1}),
                    w.OutShape())};
}

Names Unpatchify(OnnxWriter& w) {
  const auto& params = w.Op<op::Unpatchify>();
  const int64_t p = params.patch();
  const Shape cut({w.InShape(0).dim(0), params.height() / p, params.width() / p,
                   p, p, params.channels()});
  return {w.Reshape(w.Transpose(w.Reshape(w.In(0), cut), {0, 5, 1, 3, 2, 4}),
                    w.OutShape())};
}

}  // namespace

OnnxWriteTable ShapeWriters() {
  return {{"ArgMax", ArgMax},       {"Concat", Concat},
          {"Constant", Constant},   {"Flatten", ToShape},
          {"Gather", Gather},       {"Pad", Pad},
          {"Parameter", Parameter}, {"Patchify", Patchify},
          {"Reduce", Reduce},       {"ReduceMax", ReduceMax},
          {"Reorder", Reorder},     {"Reshape", ToShape},
          {"ReshapeLike", ToShape}, {"Slice", Slice},
          {"Split", Split},         {"TakeTokens", TakeTokens},
          {"Transpose", Transpose}, {"Unpatchify", Unpatchify},
          {"Where", Where}};
}

}  // namespace tamer
