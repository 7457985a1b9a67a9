// Gather and its gradient: rows by index.

#include <algorithm>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

// `tables` tables of `rows` rows of `width`, from each of which `picks` are
// taken.
struct Picks {
  int64_t tables = 1, rows = 0, width = 1, picks = 0;

  Picks(const Shape& x, const Shape& indices, int axis) {
    if (axis == 1) tables = x.dim(0);
    rows = x.dim(axis);
    for (int i = axis + 1; i < x.rank(); ++i) width *= x.dim(i);
    picks = indices.elements() / tables;
  }

  absl::Status Check(const int32_t* indices) const {
    for (int64_t i = 0; i < tables * picks; ++i) {
      if (indices[i] < -1 || indices[i] >= rows) {
        return Invalid("index ", indices[i], " is out of range for ", rows,
                       " rows");
      }
    }
    return absl::OkStatus();
  }
};

absl::StatusOr<TensorType> Gathered(int axis, const TensorType& x,
                                    const TensorType& indices) {
  TAMER_RETURN_IF_ERROR(
      CheckNumber(axis == 0 || axis == 1, "axis", axis, "0 or 1"));
  if (indices.dtype != DType::kInt32) {
    return Invalid("indices must be INT32, but are ", indices.ToString());
  }
  const Shape& from = x.shape;
  TensorType result = {DType::kFloat, indices.shape};
  if (axis == 0) {
    if (from.rank() < 1 || from.batched()) {
      return Invalid(
          "with axis 0, x must be a table [N, ...] without a batch, "
          "but is ",
          from.ToString());
    }
  } else if (from.rank() < 2 || from.dim(1) < 1 || indices.shape.rank() != 2 ||
             indices.shape.dim(0) != from.dim(0) || indices.shape.dim(1) < 1) {
    return Invalid(
        "with axis 1, x must be [B, N, ...] and indices [B, K], but ",
        "they are ", from.ToString(), " and ", indices.shape.ToString());
  }
  for (int i = axis + 1; i < from.rank(); ++i) {
    result.shape.push_back(from.dim(i));
  }
  return result;
}

class GatherOp : public TypedOp<op::Gather> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, indices"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
    TAMER_ASSIGN_OR_RETURN(
        const TensorType result,
        Gathered(Typed(params).axis(), inputs[0], inputs[1]));
    return Outputs({result});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (!g.Wanted(0)) return absl::OkStatus();
    op::GatherGradient gradient;
    gradient.set_axis(Typed(g.params()).axis());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("x", gradient, {g.OutputGradient(0), g.Input(1), g.Input(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Picks picks(spec.inputs[0].shape, spec.inputs[1].shape,
                      Typed(*spec.params).axis());
    return MakeKernel([picks](const KernelArgs& args) {
      const int32_t* indices = args.inputs[1].ints();
      TAMER_RETURN_IF_ERROR(picks.Check(indices));
      const float* x = args.inputs[0].floats();
      float* y = args.outputs[0].floats();
      const int64_t n = picks.width, bytes = n * sizeof(float);
      ParallelFor(picks.tables * picks.picks, kGrain / n + 1,
                  [&](int64_t i, int64_t end) {
                    for (; i < end; ++i) {
                      const int64_t table = i / picks.picks * picks.rows;
                      if (indices[i] < 0) {
                        std::memset(y + i * n, 0, bytes);
                      } else {
                        std::memcpy(y + i * n, x + (table + indices[i]) * n,
                                    bytes);
                      }
                    }
                  });
      return absl::OkStatus();
    });
  }
};

class GatherGradientOp : public TypedOp<op::GatherGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "dy, indices, x"));
    TAMER_ASSIGN_OR_RETURN(
        const TensorType gathered,
        Gathered(Typed(params).axis(), inputs[2], inputs[1]));
    if (inputs[0] != gathered) {
      return Invalid("dy must be ", gathered.ToString(), ", but is ",
                     inputs[0].ToString());
    }
    return Outputs({inputs[2]});
  }

  // A thread adds whole samples, or its own columns of a table.
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Picks picks(spec.inputs[2].shape, spec.inputs[1].shape,
                      Typed(*spec.params).axis());
    return MakeKernel([picks](const KernelArgs& args) {
      TAMER_RETURN_IF_ERROR(picks.Check(args.inputs[1].ints()));
      const int64_t n = picks.width;
      const int64_t sample = picks.picks + picks.rows;
      if (picks.tables > 1) {
        ParallelFor(picks.tables, kGrain / (sample * n) + 1,
                    [&](int64_t t, int64_t end) {
                      for (; t < end; ++t) AddTable(picks, args, t, 0, n);
                    });
      } else {
        ParallelFor(n, std::max<int64_t>(16, kGrain / sample),
                    [&](int64_t begin, int64_t end) {
                      AddTable(picks, args, 0, begin, end);
                    });
      }
      return absl::OkStatus();
    });
  }

 private:
  // Columns [begin, end) of table t.
  static void AddTable(const Picks& picks, const KernelArgs& args, int64_t t,
                       int64_t begin, int64_t end) {
    const int64_t n = picks.width;
    const float* dy = args.inputs[0].floats() + t * picks.picks * n;
    const int32_t* indices = args.inputs[1].ints() + t * picks.picks;
    float* dx = args.outputs[0].floats() + t * picks.rows * n;
    for (int64_t r = 0; r < picks.rows; ++r) {
      std::fill(dx + r * n + begin, dx + r * n + end, 0.0f);
    }
    for (int64_t i = 0; i < picks.picks; ++i) {
      if (indices[i] < 0) continue;
      AddScaledRow(dy + i * n + begin, 1, end - begin,
                   dx + indices[i] * n + begin);
    }
  }
};

}  // namespace

TAMER_OP_FAMILY(gather, GatherOp, GatherGradientOp)

}  // namespace tamer
