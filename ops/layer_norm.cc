// LayerNorm and RMSNorm: each row of the last dimension is normalised alone.

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/norm.h"
#include "proto/ops/norm.pb.h"

namespace tamer {
namespace {

constexpr int kLanes = 16;
constexpr int64_t kGrain = 1 << 13;
// Rows' parts of a parameter's gradient are added up in so many blocks at most.
constexpr int64_t kBlocks = 32;

// The sum over i of term(i), in a fixed order.
template <typename Term>
TAMER_INLINE double LaneSum(int64_t n, const Term& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += term(i + k);
  }
  for (int k = 0; i + k < n; ++k) lanes[k] += term(i + k);
  double sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

struct Row {
  const float *x, *scale, *shift;
  float* y;
  float *mean, *inverse;  // mean is null for RMSNorm
};

TAMER_VECTORIZED void NormaliseRow(const Row& row, int64_t n, float epsilon) {
  const float* x = row.x;
  float m = 0;
  if (row.mean != nullptr) {
    m = static_cast<float>(LaneSum(n, [&](int64_t i) { return x[i]; }) / n);
    *row.mean = m;
  }
  const double squares =
      LaneSum(n, [&](int64_t i) { return (x[i] - m) * (x[i] - m); });
  const auto inverse = static_cast<float>(1 / std::sqrt(squares / n + epsilon));
  *row.inverse = inverse;
  if (row.shift != nullptr) {
    for (int64_t i = 0; i < n; ++i) {
      row.y[i] = (x[i] - m) * inverse * row.scale[i] + row.shift[i];
    }
  } else {
    for (int64_t i = 0; i < n; ++i) row.y[i] = x[i] * inverse * row.scale[i];
  }
}

struct BackRow {
  const float *dy, *x, *scale;
  float mean, inverse;
  bool centred;  // LayerNorm's
  float* dx;
  float *dscale, *dshift;  // added to; dshift only if centred
};

TAMER_VECTORIZED void RowGradient(const BackRow& row, int64_t n) {
  const float *dy = row.dy, *x = row.x, *scale = row.scale;
  const float mean = row.mean, inverse = row.inverse;
  float along = 0;
  if (row.centred) {
    along = static_cast<float>(
        LaneSum(n, [&](int64_t i) { return dy[i] * scale[i]; }) / n);
  }
  const auto across = static_cast<float>(
      LaneSum(n,
              [&](int64_t i) {
                return dy[i] * scale[i] * ((x[i] - mean) * inverse);
              }) /
      n);
  if (row.centred) {
    for (int64_t i = 0; i < n; ++i) row.dshift[i] += dy[i];
  }
  for (int64_t i = 0; i < n; ++i) {
    const float unit = (x[i] - mean) * inverse;
    row.dscale[i] += dy[i] * unit;
    row.dx[i] = inverse * (dy[i] * scale[i] - along - unit * across);
  }
}

// out[i] = the sum of `blocks` rows' column i.
void AddBlocks(const float* partial, int64_t blocks, int64_t n, float* out) {
  ParallelFor(n, kGrain / blocks + 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      double sum = 0;
      for (int64_t b = 0; b < blocks; ++b) sum += partial[b * n + i];
      out[i] = static_cast<float>(sum);
    }
  });
}

absl::Status CheckRows(Types inputs) {
  TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
  if (inputs[0].shape.rank() >= 2 && inputs[0].shape.back() >= 1) {
    return absl::OkStatus();
  }
  return Invalid("the input must be [B, ..., features], but is ",
                 inputs[0].shape.ToString());
}

// A number for each row: x's shape without the last dimension.
TensorType OfRows(const Shape& x) {
  std::vector<int64_t> dims = x.dims();
  dims.pop_back();
  return {DType::kFloat, Shape(std::move(dims))};
}

template <typename Params>
class RowNormOp : public TypedOp<Params> {
 public:
  static constexpr bool kCentred = std::is_same_v<Params, op::LayerNorm>;

  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckRows(inputs));
    TAMER_RETURN_IF_ERROR(CheckEpsilon(this->Typed(params).epsilon()));
    const int64_t features = inputs[0].shape.back();
    const TensorType rows = OfRows(inputs[0].shape);
    Inference result = Outputs({inputs[0], rows});
    result.variables = {NormVariable("scale", features, 1)};
    if (kCentred) {
      result.outputs.push_back(rows);
      result.variables.push_back(NormVariable("shift", features, 0));
    }
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    std::vector<std::string> inputs = {g.OutputGradient(0), g.Input(0),
                                       g.Input(1), g.Output(1)};
    if (kCentred) inputs.push_back(g.Output(2));
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", op::RowNormGradient(), inputs));
    g.SetGradient(0, dx);
    g.SetGradient(1, dx + ":1");
    if (kCentred) g.SetGradient(2, dx + ":2");
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t rows = spec.inputs[0].shape.rows();
    const int64_t n = spec.inputs[0].shape.back();
    return MakeKernel([rows, n, epsilon = this->Typed(*spec.params).epsilon()](
                          const KernelArgs& args) {
      ParallelFor(rows, kGrain / n + 1, [&](int64_t r, int64_t end) {
        for (; r < end; ++r) {
          Row row;
          row.x = args.inputs[0].floats() + r * n;
          row.scale = args.inputs[1].floats();
          row.shift = kCentred ? args.inputs[2].floats() : nullptr;
          row.y = args.outputs[0].floats() + r * n;
          row.mean = kCentred ? args.outputs[1].floats() + r : nullptr;
          row.inverse = args.outputs[kCentred ? 2 : 1].floats() + r;
          NormaliseRow(row, n, epsilon);
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

class RowNormGradientKernel : public Kernel {
 public:
  RowNormGradientKernel(int64_t rows, int64_t n, bool centred)
      : rows_(rows),
        n_(n),
        in_block_(std::max<int64_t>(8, (rows + kBlocks - 1) / kBlocks)),
        blocks_((rows + in_block_ - 1) / in_block_),
        centred_(centred) {}

  int64_t scratch_bytes() const override {
    return 2 * blocks_ * n_ * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const KernelArgs& args) override {
    float* dscale = static_cast<float*>(args.scratch);
    float* dshift = dscale + blocks_ * n_;
    // ParallelFor cuts at multiples of 16.
    ParallelFor(blocks_ * kLanes, kGrain * kLanes / (in_block_ * n_) + 1,
                [&](int64_t begin, int64_t end) {
                  for (int64_t b = begin / kLanes; b < end / kLanes; ++b) {
                    Block(args, b, dscale + b * n_, dshift + b * n_);
                  }
                });
    AddBlocks(dscale, blocks_, n_, args.outputs[1].floats());
    if (centred_) AddBlocks(dshift, blocks_, n_, args.outputs[2].floats());
    return absl::OkStatus();
  }

 private:
  void Block(const KernelArgs& args, int64_t block, float* dscale,
             float* dshift) const {
    std::fill(dscale, dscale + n_, 0.0f);
    if (centred_) std::fill(dshift, dshift + n_, 0.0f);
    const int64_t end = std::min(rows_, (block + 1) * in_block_);
    for (int64_t r = block * in_block_; r < end; ++r) {
      BackRow row;
      row.dy = args.inputs[0].floats() + r * n_;
      row.x = args.inputs[1].floats() + r * n_;
      row.scale = args.inputs[2].floats();
      row.mean = centred_ ? args.inputs[3].floats()[r] : 0.0f;
      row.inverse = args.inputs[centred_ ? 4 : 3].floats()[r];
      row.centred = centred_;
      row.dx = args.outputs[0].floats() + r * n_;
      row.dscale = dscale;
      row.dshift = dshift;
      RowGradient(row, n_);
    }
  }

  const int64_t rows_, n_, in_block_, blocks_;
  const bool centred_;
};

class RowNormGradientOp : public TypedOp<op::RowNormGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    if (inputs.size() != 4) {
      TAMER_RETURN_IF_ERROR(
          CheckCount(inputs, 5, "dy, x, scale, maybe mean, inverse"));
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    TAMER_RETURN_IF_ERROR(CheckRows(inputs.subspan(0, 1)));
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
    const TensorType scale{DType::kFloat, Shape({inputs[0].shape.back()})};
    const TensorType rows = OfRows(inputs[0].shape);
    TAMER_RETURN_IF_ERROR(CheckShape(inputs, 2, "scale", scale.shape));
    for (size_t i = 3; i < inputs.size(); ++i) {
      TAMER_RETURN_IF_ERROR(CheckShape(
          inputs, i, i + 1 < inputs.size() ? "mean" : "inverse", rows.shape));
    }
    Inference result = Outputs({inputs[0], scale});
    if (inputs.size() == 5) result.outputs.push_back(scale);
    return result;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return std::make_unique<RowNormGradientKernel>(spec.inputs[0].shape.rows(),
                                                   spec.inputs[0].shape.back(),
                                                   spec.inputs.size() == 5);
  }

  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 ? 0 : -1;
  }
};

using LayerNormOp = RowNormOp<op::LayerNorm>;
using RmsNormOp = RowNormOp<op::RMSNorm>;

}  // namespace

TAMER_OP_FAMILY(layer_norm, LayerNormOp, RmsNormOp, RowNormGradientOp)

}  // namespace tamer
