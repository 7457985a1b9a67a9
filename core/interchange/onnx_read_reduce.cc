// Reductions and lookups of ONNX.

#include <algorithm>

#include "core/interchange/onnx_read_tables.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/embedding.pb.h"
#include "proto/ops/select.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/smooth_activation.pb.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

using Numbers = std::vector<int64_t>;

// A row of a table that the model holds: an embedding.
void Lookup(OnnxReader& r, const OnnxConstant& table) {
  op::Embedding embedding;
  embedding.set_vocabulary(table.dims[0]);
  embedding.set_width(table.dims[1]);
  const std::string tokens = r.In(1);
  const OnnxReader::Owned* owned = r.FindOwner(table);
  if (owned != nullptr && owned->transposed) {
    r.Fail("its table is another layer's weight, the other way round");
    return;
  }
  if (owned != nullptr && r.OpOf(owned->node) != "Embedding") {
    r.Result(r.Add(op::Gather(), {owned->variable, tokens}));
    return;
  }
  r.Result(r.AddLayer(embedding, {tokens}, {table.floats}, table));
}

// One place along an axis, which is dropped.
void Pick(OnnxReader& r, int axis, int64_t at) {
  Shape shape = r.Dims(0);
  if (at < 0) at += shape.dim(axis);
  op::Slice slice;
  slice.set_axis(axis);
  slice.set_begin(at);
  slice.set_end(at + 1);
  const std::string x = r.Add(slice, {r.In(0)}, {}, "slice");
  Numbers dims = shape.dims();
  dims.erase(dims.begin() + axis);
  r.Result(r.Reshape(x, Shape(dims)));
}

void Gather(OnnxReader& r) {
  const int axis = r.Axis(r.Int("axis", 0), r.Dims(0).rank());
  if (!r.ok()) return;
  const OnnxConstant* table = r.Constant(0);
  const OnnxConstant* index = r.Constant(1);
  if (index != nullptr && index->whole && index->dims.empty()) {
    Pick(r, axis, index->ints[0]);
  } else if (index != nullptr) {
    r.Fail("places that the model holds must be one number");
  } else if (axis != 0) {
    r.Fail("its axis must be 0");
  } else if (table != nullptr && !table->whole && table->dims.size() == 2 &&
             table->trainable) {
    Lookup(r, *table);
  } else {
    r.Result(r.Add(op::Gather(), {r.In(0), r.In(1)}));
  }
}

// By indices [B, K, 1] of each sample.
void GatherNd(OnnxReader& r) {
  Shape index = r.Dims(1);
  if (r.Int("batch_dims", 0) != 1 || index.rank() != 3 || index.dim(2) != 1) {
    r.Fail("batch_dims must be 1, and the indices [B, K, 1]");
    return;
  }
  op::Gather gather;
  gather.set_axis(1);
  const std::string places =
      r.Reshape(r.In(1), Shape({index.dim(0), index.dim(1)}), "places");
  r.Result(r.Add(gather, {r.In(0), places}));
}

// Axes of a reduction; all if none is given.
std::vector<int> ReducedAxes(OnnxReader& r, int rank) {
  const Numbers given = r.Ints(1, "axes");
  std::vector<int> axes;
  for (int64_t axis : given) axes.push_back(r.Axis(axis, rank));
  if (axes.empty() && r.Int("noop_with_empty_axes", 0) == 0) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

// The result with dimensions of 1 where they were reduced, if asked.
std::string Kept(OnnxReader& r, const std::string& x, Shape before,
                 const std::vector<int>& axes) {
  if (!r.ok() || r.Int("keepdims", 1) == 0) return x;
  for (int axis : axes) before.set_dim(axis, 1);
  return r.Reshape(x, before);
}

std::string Reduced(OnnxReader& r, const std::string& x, op::Reduce::Kind kind,
                    const std::vector<int>& axes) {
  op::Reduce reduce;
  reduce.set_kind(kind);
  for (int axis : axes) reduce.add_axis(axis);
  return r.Add(reduce, {x}, {}, r.Int("keepdims", 1) == 0 ? "" : "reduced");
}

template <bool kMean>
void Reduce(OnnxReader& r) {
  const Shape before = r.Dims(0);
  const std::vector<int> axes = ReducedAxes(r, before.rank());
  if (axes.empty()) return r.Result(r.Value(0));
  const std::string x =
      Reduced(r, r.In(0), kMean ? op::Reduce::MEAN : op::Reduce::SUM, axes);
  r.Result(Kept(r, x, before, axes));
}

void ReduceL2(OnnxReader& r) {
  const Shape before = r.Dims(0);
  const std::vector<int> axes = ReducedAxes(r, before.rank());
  const std::string x = r.In(0);
  op::Reduce sum;
  for (int axis : axes) sum.add_axis(axis);
  const std::string squares = r.Add(op::Mul(), {x, x}, {}, "squares");
  const std::string root =
      r.Add(op::Sqrt(), {r.Add(sum, {squares}, {}, "sum")}, {}, "root");
  r.Result(Kept(r, root, before, axes));
}

void ReduceMax(OnnxReader& r) {
  const Shape before = r.Dims(0);
  const std::vector<int> axes = ReducedAxes(r, before.rank());
  std::string x = r.In(0);
  for (auto it = axes.rbegin(); it != axes.rend(); ++it) {
    op::ReduceMax max;
    max.set_axis(*it);
    x = r.Add(max, {x}, {}, absl::StrCat("max", *it));
  }
  r.Result(Kept(r, x, before, axes));
}

void ArgMax(OnnxReader& r) {
  const int axis = r.Axis(r.Int("axis", 0), r.Dims(0).rank());
  if (r.Int("keepdims", 1) != 0 || r.Int("select_last_index", 0) != 0) {
    r.Fail("keepdims and select_last_index must be 0");
    return;
  }
  op::ArgMax max;
  max.set_axis(axis);
  r.Result(r.Add(max, {r.In(0)}));
}

// Kinds of whole numbers are one here; a truth value is what is not 0.
void Cast(OnnxReader& r) {
  const int64_t to = r.Int("to", 0);
  if (r.Constant(0) != nullptr) return r.Result(r.Value(0));
  const bool real = to == onnx::TensorProto::FLOAT;
  const bool truth = to == onnx::TensorProto::BOOL;
  const bool whole =
      to == onnx::TensorProto::INT32 || to == onnx::TensorProto::INT64;
  const bool is_real = r.TypeOf(r.Value(0).name) == DType::kFloat;
  if (truth || (real && is_real) || (whole && !is_real)) {
    r.Result(r.Value(0));
  } else {
    r.Fail("a value can't change between FLOAT and whole numbers");
  }
}

}  // namespace

OnnxReadTable ReduceReaders() {
  return {{"ArgMax", ArgMax},           {"Cast", Cast},
          {"Gather", Gather},           {"GatherND", GatherNd},
          {"ReduceL2", ReduceL2},       {"ReduceMax", ReduceMax},
          {"ReduceMean", Reduce<true>}, {"ReduceSum", Reduce<false>}};
}

}  // namespace tamer
