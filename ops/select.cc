// Where, and the largest along a dimension.

#include <algorithm>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/broadcast.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/select.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

// FLOAT or INT32, of a's shape or spread over it.
absl::Status CheckCondition(const TensorType& condition, const Shape& a,
                            int index) {
  if (condition.dtype != DType::kFloat && condition.dtype != DType::kInt32) {
    return Invalid("the condition must be FLOAT or INT32, but is ",
                   condition.ToString());
  }
  if (CheckBroadcast(a, condition.shape).ok()) return absl::OkStatus();
  return Invalid("the condition, input ", index, ", must have the shape ",
                 a.ToString(), " or one that is spread over it, but is ",
                 condition.shape.ToString());
}

template <typename T>
TAMER_INLINE void Choose(const T* condition, int64_t step, const float* a,
                         const float* b, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = condition[i * step] != 0 ? a[i] : b[i];
}
TAMER_VECTORIZED void ChooseBy(const Tensor& condition, int64_t at,
                               int64_t step, const float* a, const float* b,
                               int64_t n, float* y) {
  if (condition.dtype == DType::kInt32) {
    Choose(condition.ints() + at, step, a, b, n, y);
  } else {
    Choose(condition.floats() + at, step, a, b, n, y);
  }
}

template <typename T>
TAMER_INLINE void Divide(const T* condition, int64_t step, const float* dy,
                         int64_t n, float* da, float* db) {
  for (int64_t i = 0; i < n; ++i) {
    const bool chosen = condition[i * step] != 0;
    const float flow = dy[i];  // da may be dy
    da[i] = chosen ? flow : 0.0f;
    db[i] = chosen ? 0.0f : flow;
  }
}
TAMER_VECTORIZED void DivideBy(const Tensor& condition, int64_t at,
                               int64_t step, const float* dy, int64_t n,
                               float* da, float* db) {
  if (condition.dtype == DType::kInt32) {
    Divide(condition.ints() + at, step, dy, n, da, db);
  } else {
    Divide(condition.floats() + at, step, dy, n, da, db);
  }
}

class WhereOp : public TypedOp<op::Where> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "condition, a, b"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(1)));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(1)));
    TAMER_RETURN_IF_ERROR(CheckCondition(inputs[0], inputs[1].shape, 0));
    return Outputs({inputs[1]});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(const std::string da,
                           g.Emit("input", op::WhereGradient(),
                                  {g.OutputGradient(0), g.Input(0)}));
    g.SetGradient(1, da);
    g.SetGradient(2, absl::StrCat(da, ":1"));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Broadcast spread(spec.inputs[1].shape, spec.inputs[0].shape);
    return MakeKernel([spread](const KernelArgs& args) {
      ForBroadcast(spread, kGrain, [&](int64_t at, int64_t c_at, int64_t n) {
        ChooseBy(args.inputs[0], c_at, spread.single ? 0 : 1,
                 args.inputs[1].floats() + at, args.inputs[2].floats() + at, n,
                 args.outputs[0].floats() + at);
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 1; }
};

class WhereGradientOp : public TypedOp<op::WhereGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "dy, condition"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
    TAMER_RETURN_IF_ERROR(CheckCondition(inputs[1], inputs[0].shape, 1));
    return Outputs({inputs[0], inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Broadcast spread(spec.inputs[0].shape, spec.inputs[1].shape);
    return MakeKernel([spread](const KernelArgs& args) {
      ForBroadcast(spread, kGrain, [&](int64_t at, int64_t c_at, int64_t n) {
        DivideBy(args.inputs[1], c_at, spread.single ? 0 : 1,
                 args.inputs[0].floats() + at, n, args.outputs[0].floats() + at,
                 args.outputs[1].floats() + at);
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

// A tensor as [outer, size, inner] about one dimension.
struct Along {
  int64_t outer = 1, size = 1, inner = 1;

  Along(const Shape& x, int axis) {
    size = x.dim(axis);
    for (int i = 0; i < axis; ++i) outer *= x.dim(i);
    for (int i = axis + 1; i < x.rank(); ++i) inner *= x.dim(i);
  }
};

absl::StatusOr<Shape> WithoutAxis(const Shape& x, int32_t named) {
  TAMER_ASSIGN_OR_RETURN(const int axis, CheckAxis(named, x.rank()));
  if (x.dim(axis) < 0) {
    return Invalid("axis ", named, " of ", x.ToString(),
                   " is the batch, whose samples are apart");
  }
  std::vector<int64_t> dims = x.dims();
  dims.erase(dims.begin() + axis);
  return Shape(std::move(dims));
}

// `most` and `index` hold what was found before row `at`.
TAMER_VECTORIZED void Update(const float* x, int32_t at, int64_t n, float* most,
                             int32_t* index) {
  for (int64_t i = 0; i < n; ++i) {
    const bool larger = x[i] > most[i];
    most[i] = larger ? x[i] : most[i];
    index[i] = larger ? at : index[i];
  }
}

// The largest along the dimension and where it stands.
void FindLargest(const Along& along, const float* x, float* most,
                 int32_t* index) {
  const int64_t size = along.size, inner = along.inner;
  const int64_t grain = kGrain / (size * inner) + 1;
  ParallelFor(along.outer, grain, [&](int64_t o, int64_t end) {
    for (; o < end; ++o) {
      const float* from = x + o * size * inner;
      if (inner == 1) {
        const float* found = std::max_element(from, from + size);
        most[o] = *found;
        index[o] = static_cast<int32_t>(found - from);
        continue;
      }
      std::copy(from, from + inner, most + o * inner);
      std::fill_n(index + o * inner, inner, 0);
      for (int64_t s = 1; s < size; ++s) {
        Update(from + s * inner, static_cast<int32_t>(s), inner,
               most + o * inner, index + o * inner);
      }
    }
  });
}

class ReduceMaxOp : public TypedOp<op::ReduceMax> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(const Shape kept,
                           WithoutAxis(inputs[0].shape, Typed(params).axis()));
    return Outputs({{DType::kFloat, kept}, {DType::kInt32, kept}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::ReduceMaxGradient gradient;
    gradient.set_axis(Typed(g.params()).axis());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", gradient,
               {g.OutputGradient(0), g.Output(1), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(Typed(*spec.params).axis(), x.rank()));
    return MakeKernel([along = Along(x, axis)](const KernelArgs& args) {
      FindLargest(along, args.inputs[0].floats(), args.outputs[0].floats(),
                  args.outputs[1].ints());
      return absl::OkStatus();
    });
  }
};

class ReduceMaxGradientOp : public TypedOp<op::ReduceMaxGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "dy, index, x"));
    TAMER_ASSIGN_OR_RETURN(const Shape kept,
                           WithoutAxis(inputs[2].shape, Typed(params).axis()));
    if (inputs[0] != TensorType{DType::kFloat, kept} ||
        inputs[1] != TensorType{DType::kInt32, kept}) {
      return Invalid("dy and index must be FLOAT and INT32 ", kept.ToString(),
                     ", but are ", inputs[0].ToString(), " and ",
                     inputs[1].ToString());
    }
    return Outputs({inputs[2]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[2].shape;
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(Typed(*spec.params).axis(), x.rank()));
    return MakeKernel([along = Along(x, axis)](const KernelArgs& args) {
      const float* dy = args.inputs[0].floats();
      const int32_t* index = args.inputs[1].ints();
      float* dx = args.outputs[0].floats();
      const int64_t inner = along.inner, block = along.size * inner;
      ParallelFor(along.outer, kGrain / block + 1, [&](int64_t o, int64_t end) {
        for (; o < end; ++o) {
          std::fill_n(dx + o * block, block, 0.0f);
          for (int64_t i = 0; i < inner; ++i) {
            const int64_t at = o * inner + i;
            dx[o * block + index[at] * inner + i] = dy[at];
          }
        }
      });
      return absl::OkStatus();
    });
  }
};

class ArgMaxOp : public TypedOp<op::ArgMax> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_ASSIGN_OR_RETURN(const Shape kept,
                           WithoutAxis(inputs[0].shape, Typed(params).axis()));
    return Outputs({{DType::kInt32, kept}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(const int axis,
                           CheckAxis(Typed(*spec.params).axis(), x.rank()));
    const int64_t kept = spec.outputs[0].shape.elements();
    return MakeKernel(
        [along = Along(x, axis)](const KernelArgs& args) {
          FindLargest(along, args.inputs[0].floats(),
                      static_cast<float*>(args.scratch),
                      args.outputs[0].ints());
          return absl::OkStatus();
        },
        kept * static_cast<int64_t>(sizeof(float)));
  }
};

}  // namespace

TAMER_OP_FAMILY(select, WhereOp, WhereGradientOp, ReduceMaxOp,
                ReduceMaxGradientOp, ArgMaxOp)

}  // namespace tamer
