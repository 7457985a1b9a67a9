// What moves elements about in ONNX.

#include <algorithm>

#include "core/interchange/onnx_read_tables.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

using Numbers = std::vector<int64_t>;

constexpr int64_t kMostSize = int64_t{1} << 31;

void Transpose(OnnxReader& r) {
  const int rank = r.Dims(0).rank();
  Numbers perm = r.Ints("perm");
  if (perm.empty()) {
    for (int i = rank - 1; i >= 0; --i) perm.push_back(i);
  }
  OnnxValue value = r.Value(0);
  if (value.constant != nullptr) value = {r.In(0), {}, nullptr};
  std::vector<int> view;
  for (int64_t at : perm) {
    const int from = r.Axis(at, rank);
    view.push_back(value.view.empty() ? from : value.view[from]);
  }
  Numbers sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < rank; ++i) {
    if (static_cast<int>(perm.size()) != rank || sorted[i] != i) {
      r.Fail("perm must name each axis once");
      return;
    }
  }
  r.Result(value.name, 0, view);
}

// The shape asked for, as the graph has it; one dimension may be found.
Shape Resolve(OnnxReader& r, const Shape& from, const Numbers& asked) {
  Shape to;
  int open = -1;
  int64_t known = 1;
  for (size_t i = 0; i < asked.size(); ++i) {
    int64_t dim = asked[i];
    if (dim == 0 && i < static_cast<size_t>(from.rank())) {
      dim = from.dim(static_cast<int>(i));
    }
    if (dim == kBatchSize) dim = Shape::kBatch;
    if (dim == -1 && asked[i] == -1) {
      open = static_cast<int>(i);
      dim = 1;
    }
    if (dim < -kMostSize || dim > kMostSize ||
        __builtin_mul_overflow(known, dim, &known)) {
      r.Fail("its sizes are impossible");
      return from;
    }
    to.push_back(dim);
  }
  // With a batch both counts are negative, unless the batch is what is open.
  const int64_t all = from.elements();
  if (open >= 0 && known != 0) to.set_dim(open, all / known);
  if (to.elements() != all) {
    r.Fail(absl::StrCat(from.ToString(), " can't become ", to.ToString()));
  }
  return to;
}

void Reshape(OnnxReader& r) {
  const Numbers asked = r.Ints(1, "shape");
  const Shape from = r.Dims(0);
  if (!r.ok()) return;
  const Shape to = Resolve(r, from, asked);
  if (!r.ok()) return;
  const OnnxValue value = r.Value(0);
  if (value.view.size() > 1 && from.dim(1) < 0 && to.rank() > 1 &&
      to.dim(0) == from.dim(0) && to.dim(1) == from.dim(1)) {
    // Steps before samples, which both stay: only the rest is reshaped.
    std::vector<int> by_sample = value.view;
    std::swap(by_sample[0], by_sample[1]);
    Shape swapped = to;
    swapped.set_dim(0, to.dim(1));
    swapped.set_dim(1, to.dim(0));
    std::vector<int> view = {1, 0};
    for (int i = 2; i < to.rank(); ++i) view.push_back(i);
    r.Result(r.Reshape(r.LaidOut(value.name, by_sample), swapped), 0, view);
    return;
  }
  r.Result(r.Reshape(r.In(0), to));
}

void Flatten(OnnxReader& r) {
  const Shape from = r.Dims(0);
  const int64_t axis = r.Int("axis", 1);
  if (axis != 1 || from.rank() == 0) {
    r.Fail("its axis must be 1");
    return;
  }
  int64_t rest = 1;
  for (int i = 1; i < from.rank(); ++i) rest *= from.dim(i);
  r.Result(r.Reshape(r.In(0), Shape({from.dim(0), rest})));
}

// Drops dimensions of 1, wherever a view has them.
void Squeeze(OnnxReader& r) {
  const Shape from = r.Dims(0);
  std::vector<bool> drop(from.rank(), false);
  const Numbers axes = r.Ints(1, "axes");
  for (int64_t axis : axes) {
    const int at = r.Axis(axis, from.rank());
    if (!r.ok()) return;
    drop[at] = true;
  }
  for (int i = 0; axes.empty() && i < from.rank(); ++i) {
    drop[i] = from.dim(i) == 1;
  }
  const OnnxValue value = r.Value(0);
  std::vector<int> view, gone;
  for (int i = 0; i < from.rank(); ++i) {
    const int at = value.view.empty() ? i : value.view[i];
    if (drop[i]) {
      gone.push_back(at);
    } else {
      view.push_back(at);
    }
  }
  for (int& at : view) {
    at -= static_cast<int>(std::count_if(gone.begin(), gone.end(),
                                         [at](int g) { return g < at; }));
  }
  Shape to;
  const Shape own = r.ShapeOf(value.name);
  for (int i = 0; i < own.rank(); ++i) {
    const bool dropped = std::count(gone.begin(), gone.end(), i) > 0;
    if (!dropped) to.push_back(own.dim(i));
    if (dropped && own.dim(i) != 1) r.Fail("only dimensions of 1 can go");
  }
  r.Result(r.Reshape(value.name, to), 0, view);
}

void Unsqueeze(OnnxReader& r) {
  Shape to = r.Dims(0);
  Numbers axes = r.Ints(1, "axes");
  const int rank = to.rank() + static_cast<int>(axes.size());
  for (int64_t& axis : axes) axis = r.Axis(axis, rank);
  if (!r.ok()) return;
  std::sort(axes.begin(), axes.end());
  Numbers dims = to.dims();
  for (int64_t axis : axes) {
    if (axis > static_cast<int64_t>(dims.size())) {
      r.Fail("its axes are not in order");
      return;
    }
    dims.insert(dims.begin() + axis, 1);
  }
  r.Result(r.Reshape(r.In(0), Shape(dims)));
}

void Slice(OnnxReader& r) {
  const Shape from = r.Dims(0);
  const Numbers starts = r.Ints(1, "starts"), ends = r.Ints(2, "ends");
  Numbers axes = r.Ints(3, "axes");
  for (size_t i = axes.size(); i < starts.size(); ++i) {
    axes.push_back(static_cast<int64_t>(i));
  }
  std::string x = r.In(0);
  if (r.Has(4)) {
    for (int64_t step : r.Ints(4, "steps")) {
      if (step != 1) r.Fail("its steps must be 1");
    }
  }
  if (ends.size() != starts.size()) r.Fail("it has not as many ends as starts");
  for (size_t i = 0; i < starts.size() && r.ok(); ++i) {
    op::Slice slice;
    const int axis = r.Axis(axes[i], from.rank());
    if (!r.ok()) return;
    const int64_t size = from.dim(axis);
    if (starts[i] == 0 && (ends[i] >= size && ends[i] > (int64_t{1} << 30))) {
      continue;  // all of it
    }
    const auto place = [size](int64_t at) {
      return std::clamp<int64_t>(at < 0 ? at + size : at, 0,
                                 std::max<int64_t>(size, 0));
    };
    slice.set_axis(axis);
    slice.set_begin(place(starts[i]));
    slice.set_end(place(ends[i]));
    x = r.Add(slice, {x}, {}, i + 1 < starts.size() ? "slice" : "");
  }
  r.Result(x);
}

void Split(OnnxReader& r) {
  const Shape from = r.Dims(0);
  const int axis = r.Axis(r.Int("axis", 0), from.rank());
  if (!r.ok()) return;
  Numbers sizes = r.Ints(1, "split");
  const int parts = r.node().output_size();
  for (int i = 0; sizes.size() < static_cast<size_t>(parts); ++i) {
    if (i == 0 && from.dim(axis) % parts != 0) r.Fail("it has no even parts");
    sizes.push_back(from.dim(axis) / parts);
  }
  op::Split split;
  split.set_axis(axis);
  split.mutable_size()->Add(sizes.begin(), sizes.end());
  const std::string first = r.Add(split, {r.In(0)});
  for (int i = 0; i < parts; ++i) {
    r.Result(i == 0 ? first : absl::StrCat(first, ":", i), i);
  }
}

void Concat(OnnxReader& r) {
  op::Concat concat;
  std::vector<std::string> inputs;
  for (int i = 0; i < r.node().input_size(); ++i) inputs.push_back(r.In(i));
  concat.set_axis(r.Axis(r.Int("axis", 0), r.Dims(0).rank()));
  r.Result(r.Add(concat, inputs));
}

void Pad(OnnxReader& r) {
  const Numbers pads = r.Ints(1, "pads");
  const std::string mode = r.Text("mode", "constant");
  const int rank = r.Dims(0).rank();
  if (r.ok() && pads.size() != 2 * static_cast<size_t>(rank)) {
    r.Fail("it must have two numbers for each dimension");
  }
  if (r.Has(3)) r.Fail("its axes have no counterpart");
  if (!r.ok()) return;
  float value = r.Float("value", 0);
  if (r.Has(2) && !r.Scalar(2, &value)) r.Fail("its value must be a constant");
  // A table with a row of zeros behind the others, for indices of -1.
  const OnnxConstant* table = r.Constant(0);
  Numbers row(2 * rank, 0);
  if (rank > 0) row[rank] = 1;
  if (table != nullptr && pads == row && value == 0 && mode == "constant") {
    OnnxConstant padded = *table;
    padded.zero_row = true;
    r.Result(std::move(padded));
    return;
  }
  op::Pad pad;
  for (int i = 0; i < rank; ++i) {
    if (pads[i] == 0 && pads[rank + i] == 0) continue;
    pad.add_axis(i);
    pad.add_before(pads[i]);
    pad.add_after(pads[rank + i]);
  }
  pad.set_value(value);
  if (mode == "reflect") pad.set_mode(op::Pad::REFLECT);
  if (mode == "edge") pad.set_mode(op::Pad::EDGE);
  const std::string x = r.In(0);
  r.Result(pad.axis_size() == 0 ? x : r.Add(pad, {x}));
}

}  // namespace

OnnxReadTable ShapeReaders() {
  return {
      {"Concat", Concat},   {"Flatten", Flatten},

      {"Pad", Pad},

      {"Reshape", Reshape}, {"Slice", Slice},         {"Split", Split},
      {"Squeeze", Squeeze}, {"Transpose", Transpose}, {"Unsqueeze", Unsqueeze}};
}

}  // namespace tamer
