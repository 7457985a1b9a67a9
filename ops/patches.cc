// Images as sequences of patches.

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/patches.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

// What Patchify and its inverse share: images [B, channels, height, width] in
// patches of `side`.
struct Grid {
  int64_t channels, height, width, side;

  int64_t columns() const { return width / side; }
  int64_t tokens() const { return height / side * columns(); }
  int64_t token_size() const { return side * side * channels; }
};

absl::Status CheckGrid(const Grid& grid) {
  TAMER_RETURN_IF_ERROR(CheckNumber(
      grid.side >= 1, "patch", static_cast<double>(grid.side), "at least 1"));
  if (grid.height % grid.side != 0 || grid.width % grid.side != 0) {
    return Invalid("patches of ", grid.side, " x ", grid.side,
                   " don't cut images of ", grid.height, " x ", grid.width,
                   " evenly; patch must divide both");
  }
  return absl::OkStatus();
}

// Copies image rows to patches (`cut`) or back.
template <bool kCut>
void CopyToken(const Grid& grid, int64_t token, float* image, float* patch) {
  const int64_t top = token / grid.columns() * grid.side;
  const int64_t left = token % grid.columns() * grid.side;
  for (int64_t c = 0; c < grid.channels; ++c) {
    for (int64_t p = 0; p < grid.side; ++p) {
      float* row = image + (c * grid.height + top + p) * grid.width + left;
      float* in_patch = patch + p * grid.side * grid.channels + c;
      for (int64_t q = 0; q < grid.side; ++q) {
        if constexpr (kCut) {
          in_patch[q * grid.channels] = row[q];
        } else {
          row[q] = in_patch[q * grid.channels];
        }
      }
    }
  }
}

template <bool kCut>
std::unique_ptr<Kernel> MakeCut(const Grid& grid, int64_t batch) {
  return MakeKernel([grid, batch](const KernelArgs& args) {
    float* images = (kCut ? args.inputs[0] : args.outputs[0]).floats();
    float* patches = (kCut ? args.outputs[0] : args.inputs[0]).floats();
    const int64_t pixels = grid.channels * grid.height * grid.width;
    ParallelFor(batch, kGrain / pixels + 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        for (int64_t token = 0; token < grid.tokens(); ++token) {
          CopyToken<kCut>(grid, token, images + b * pixels,
                          patches + b * pixels + token * grid.token_size());
        }
      }
    });
    return absl::OkStatus();
  });
}

Grid GridOf(const op::Patchify& params, const Shape& images) {
  return {images.dim(1), images.dim(2), images.dim(3), params.patch()};
}

Grid GridOf(const op::Unpatchify& params) {
  return {params.channels(), params.height(), params.width(), params.patch()};
}

class PatchifyOp : public TypedOp<op::Patchify> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "images"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape& shape = inputs[0].shape;
    if (shape.rank() != 4 || shape.dim(1) < 1 || shape.dim(2) < 1 ||
        shape.dim(3) < 1) {
      return Invalid("images must be [B, channels, height, width], not ",
                     shape.ToString());
    }
    const Grid grid = GridOf(Typed(params), shape);
    TAMER_RETURN_IF_ERROR(CheckGrid(grid));
    return Outputs({{DType::kFloat,
                     Shape({shape.dim(0), grid.tokens(), grid.token_size()})}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const Grid grid = GridOf(Typed(g.params()), g.InputType(0).shape);
    op::Unpatchify back;
    back.set_patch(grid.side);
    back.set_channels(grid.channels);
    back.set_height(grid.height);
    back.set_width(grid.width);
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", back, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    return MakeCut<true>(GridOf(Typed(*spec.params), shape), shape.dim(0));
  }
};

class UnpatchifyOp : public TypedOp<op::Unpatchify> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "patches"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Grid grid = GridOf(Typed(params));
    constexpr int64_t kMost = 1 << 20;
    for (int64_t size : {grid.channels, grid.height, grid.width}) {
      if (size < 1 || size > kMost) {
        return Invalid("channels, height and width are ", grid.channels, ", ",
                       grid.height, " and ", grid.width, "; they must be 1 to ",
                       kMost);
      }
    }
    TAMER_RETURN_IF_ERROR(CheckGrid(grid));
    const Shape& shape = inputs[0].shape;
    if (shape.rank() != 3 || shape.dim(1) != grid.tokens() ||
        shape.dim(2) != grid.token_size()) {
      return Invalid("patches must be [B, ", grid.tokens(), ", ",
                     grid.token_size(), "] for these images, not ",
                     shape.ToString());
    }
    return Outputs({{DType::kFloat, Shape({shape.dim(0), grid.channels,
                                           grid.height, grid.width})}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::Patchify cut;
    cut.set_patch(Typed(g.params()).patch());
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", cut, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    return MakeCut<false>(GridOf(Typed(*spec.params)),
                          spec.inputs[0].shape.dim(0));
  }
};

void NormalizeRow(const float* x, int64_t n, float epsilon, float* y) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double scale =
      1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>((x[i] - mean) * scale);
  }
}

class NormalizeTokensOp : public TypedOp<op::NormalizeTokens> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const float epsilon = Typed(params).epsilon();
    TAMER_RETURN_IF_ERROR(CheckNumber(std::isfinite(epsilon) && epsilon > 0,
                                      "epsilon", epsilon, "above 0"));
    if (inputs[0].shape.rank() < 2 || inputs[0].shape.back() < 1) {
      return Invalid("x must be [B, ..., features], not ",
                     inputs[0].shape.ToString());
    }
    return Outputs({inputs[0]});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    return MakeKernel(
        [rows = shape.rows(), n = shape.back(),
         epsilon = Typed(*spec.params).epsilon()](const KernelArgs& args) {
          ParallelFor(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              NormalizeRow(args.inputs[0].floats() + r * n, n, epsilon,
                           args.outputs[0].floats() + r * n);
            }
          });
          return absl::OkStatus();
        });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }
};

}  // namespace

TAMER_OP_FAMILY(patches, PatchifyOp, UnpatchifyOp, NormalizeTokensOp)

}  // namespace tamer
