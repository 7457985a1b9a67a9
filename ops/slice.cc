// Slice and Pad: rows copied by a map that is made when the kernel is.

#include <algorithm>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;

struct Range {
  int axis = 0;
  int64_t begin = 0, end = 0, size = 0;
};

absl::StatusOr<Range> RangeOf(const op::Slice& slice, const Shape& x) {
  Range range;
  TAMER_ASSIGN_OR_RETURN(range.axis, CheckAxis(slice.axis(), x.rank()));
  range.size = x.dim(range.axis);
  if (range.size < 0) {
    return Invalid("axis ", slice.axis(), " of ", x.ToString(),
                   " is the batch, which cannot be sliced");
  }
  const auto from_end = [&](int64_t at) {
    return at < 0 ? at + range.size : at;
  };
  range.begin = from_end(slice.begin());
  range.end = slice.has_end() ? from_end(slice.end()) : range.size;
  if (range.begin < 0 || range.begin >= range.end || range.end > range.size) {
    return Invalid("begin ", slice.begin(), " and end ",
                   slice.has_end() ? slice.end() : range.size,
                   " are no part of dimension ", range.axis, " of ",
                   x.ToString());
  }
  return range;
}

class SliceOp : public TypedOp<op::Slice> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_ASSIGN_OR_RETURN(const Range range,
                           RangeOf(Typed(params), inputs[0].shape));
    TensorType result = inputs[0];
    result.shape.set_dim(range.axis, range.end - range.begin);
    return Outputs({result});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(const Range range,
                           RangeOf(Typed(g.params()), g.InputType(0).shape));
    op::Pad pad;
    pad.add_axis(range.axis);
    pad.add_before(range.begin);
    pad.add_after(range.size - range.end);
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", pad, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(const Range range, RangeOf(Typed(*spec.params), x));
    int64_t outer = 1, inner = SizeOf(spec.inputs[0].dtype);
    for (int i = 0; i < range.axis; ++i) outer *= x.dim(i);
    for (int i = range.axis + 1; i < x.rank(); ++i) inner *= x.dim(i);
    return MakeKernel([outer, inner, range](const KernelArgs& args) {
      const auto* from = static_cast<const char*>(args.inputs[0].data);
      auto* to = static_cast<char*>(args.outputs[0].data);
      const int64_t bytes = (range.end - range.begin) * inner;
      ParallelFor(outer, (1 << 16) / bytes + 1, [&](int64_t r, int64_t end) {
        for (; r < end; ++r) {
          std::memcpy(to + r * bytes,
                      from + (r * range.size + range.begin) * inner, bytes);
        }
      });
      return absl::OkStatus();
    });
  }
};

// How a dimension grows.
struct Growth {
  int64_t before = 0, after = 0;
};

absl::StatusOr<std::vector<Growth>> GrowthOf(const op::Pad& pad,
                                             const Shape& x) {
  if (pad.axis_size() != pad.before_size() ||
      pad.axis_size() != pad.after_size()) {
    return Invalid("axis, before and after have ", pad.axis_size(), ", ",
                   pad.before_size(), " and ", pad.after_size(),
                   " entries; they must have one each for every dimension");
  }
  std::vector<Growth> growth(x.rank());
  for (int i = 0; i < pad.axis_size(); ++i) {
    TAMER_ASSIGN_OR_RETURN(const int axis, CheckAxis(pad.axis(i), x.rank()));
    const int64_t before = pad.before(i), after = pad.after(i);
    const int64_t size = x.dim(axis);
    if (size < 0) {
      return Invalid("axis ", pad.axis(i), " of ", x.ToString(),
                     " is the batch, which cannot be padded");
    }
    // A mirror shows what stands before it.
    const int64_t most = pad.mode() == op::Pad::REFLECT ? size - 1 : kMost;
    if (before < 0 || after < 0 || before > most || after > most) {
      return Invalid("before ", before, " and after ", after, " must be 0 to ",
                     most, " along dimension ", axis, " of ", x.ToString());
    }
    growth[axis] = {before, after};
  }
  return growth;
}

// The input's element that stands at `at` of the padded dimension, or -1.
int64_t SourceOf(int64_t at, int64_t size, op::Pad::Mode mode) {
  if (at >= 0 && at < size) return at;
  switch (mode) {
    case op::Pad::REFLECT:
      return at < 0 ? -at : 2 * (size - 1) - at;
    case op::Pad::EDGE:
      return at < 0 ? 0 : size - 1;
    case op::Pad::CONSTANT:
      break;
  }
  return -1;
}

// For each row of the result the input's row, and for each element of a row
// the row's element; -1 where there is none.
struct PadMap {
  std::vector<int32_t> rows, columns;
  int64_t width = 1;    // of the input's rows
  int64_t before = 0;   // in a row
  int64_t samples = 1;  // a cut of the rows that no copy crosses
  float value = 0;

  PadMap(const op::Pad& pad, const Shape& x,
         const std::vector<Growth>& growth) {
    value = pad.value();
    rows = {0};
    const int rank = x.rank();
    for (int i = 0; i + 1 < rank; ++i) {
      std::vector<int32_t> finer;
      for (int32_t row : rows) {
        for (int64_t at = -growth[i].before; at < x.dim(i) + growth[i].after;
             ++at) {
          const int64_t source = SourceOf(at, x.dim(i), pad.mode());
          const bool none = row < 0 || source < 0;
          finer.push_back(none ? -1
                               : static_cast<int32_t>(row * x.dim(i) + source));
        }
      }
      rows = std::move(finer);
    }
    width = x.back();
    const Growth last = rank > 0 ? growth.back() : Growth();
    before = last.before;
    for (int64_t at = -before; at < width + last.after; ++at) {
      columns.push_back(static_cast<int32_t>(SourceOf(at, width, pad.mode())));
    }
    if (rank > 1 && growth[0].before + growth[0].after == 0) {
      samples = x.dim(0);
    }
  }

  int64_t padded() const { return static_cast<int64_t>(columns.size()); }
};

void PadRow(const PadMap& map, const float* x, float* y) {
  const int64_t n = map.padded(), inside = map.before + map.width;
  for (int64_t i = 0; i < n; ++i) {
    if (i == map.before) i = inside;
    if (i >= n) break;
    y[i] = map.columns[i] < 0 ? map.value : x[map.columns[i]];
  }
  std::memcpy(y + map.before, x, map.width * sizeof(float));
}

// The same backwards.
void UnpadRow(const PadMap& map, const float* dy, float* dx) {
  for (int64_t i = 0; i < map.width; ++i) dx[i] += dy[map.before + i];
  const int64_t n = map.padded(), inside = map.before + map.width;
  for (int64_t i = 0; i < n; ++i) {
    if (i == map.before) i = inside;
    if (i < n && map.columns[i] >= 0) dx[map.columns[i]] += dy[i];
  }
}

absl::StatusOr<TensorType> Padded(const op::Pad& pad, const TensorType& x) {
  TAMER_ASSIGN_OR_RETURN(const auto growth, GrowthOf(pad, x.shape));
  TensorType result = x;
  int64_t elements = 1;
  for (int i = 0; i < x.shape.rank(); ++i) {
    const int64_t size = x.shape.dim(i) + growth[i].before + growth[i].after;
    result.shape.set_dim(i, size);
    if (__builtin_mul_overflow(elements, size, &elements) ||
        std::abs(elements) >= kMost) {
      return Invalid("the padded ", x.shape.ToString(), " would be too large");
    }
  }
  return result;
}

class PadOp : public TypedOp<op::Pad> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(const TensorType result,
                           Padded(Typed(params), inputs[0]));
    return Outputs({result});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::PadGradient gradient;
    *gradient.mutable_pad() = Typed(g.params());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient, {g.OutputGradient(0), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    const op::Pad& pad = Typed(*spec.params);
    TAMER_ASSIGN_OR_RETURN(const auto growth, GrowthOf(pad, x));
    const PadMap map(pad, x, growth);
    return MakeKernel([map](const KernelArgs& args) {
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      const int64_t n = map.padded();
      const auto rows = static_cast<int64_t>(map.rows.size());
      ParallelFor(rows, (1 << 14) / n + 1, [&](int64_t r, int64_t end) {
        for (; r < end; ++r) {
          if (map.rows[r] < 0) {
            std::fill_n(y + r * n, n, map.value);
          } else {
            PadRow(map, x + map.rows[r] * map.width, y + r * n);
          }
        }
      });
      return absl::OkStatus();
    });
  }
};

class PadGradientOp : public TypedOp<op::PadGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "dy, x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(const TensorType padded,
                           Padded(Typed(params).pad(), inputs[1]));
    if (padded != inputs[0]) {
      return Invalid("dy must be ", padded.ToString(), ", but is ",
                     inputs[0].ToString());
    }
    return Outputs({inputs[1]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[1].shape;
    const op::Pad& pad = Typed(*spec.params).pad();
    TAMER_ASSIGN_OR_RETURN(const auto growth, GrowthOf(pad, x));
    const PadMap map(pad, x, growth);
    const int64_t sample = x.elements() / map.samples;
    return MakeKernel([map, sample](const KernelArgs& args) {
      const float* dy = args.inputs[0].floats();
      float* dx = args.outputs[0].floats();
      const int64_t n = map.padded();
      const int64_t rows = static_cast<int64_t>(map.rows.size()) / map.samples;
      ParallelFor(map.samples, (1 << 14) / (rows * n) + 1,
                  [&](int64_t begin, int64_t end) {
                    std::fill(dx + begin * sample, dx + end * sample, 0.0f);
                    for (int64_t r = begin * rows; r < end * rows; ++r) {
                      if (map.rows[r] < 0) continue;
                      UnpadRow(map, dy + r * n, dx + map.rows[r] * map.width);
                    }
                  });
      return absl::OkStatus();
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(slice, SliceOp, PadOp, PadGradientOp)

}  // namespace tamer
