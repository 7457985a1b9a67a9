// Some tokens of a sequence, and the sequence made whole again.

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/token_choice.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;

int64_t HiddenOf(const op::RandomKeep& keep, int64_t tokens) {
  return std::lround(double{keep.mask()} * static_cast<double>(tokens));
}

class RandomKeepOp : public TypedOp<op::RandomKeep> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    const float mask = Typed(params).mask();
    TAMER_RETURN_IF_ERROR(
        CheckNumber(mask > 0 && mask < 1, "mask", mask, "in (0, 1)"));
    const Shape& shape = inputs[0].shape;
    if (shape.rank() < 2 || shape.dim(0) == 0 || shape.dim(1) < 1) {
      return Invalid("x must be [B, tokens, ...], not ", shape.ToString());
    }
    const int64_t tokens = shape.dim(1);
    const int64_t hidden = HiddenOf(Typed(params), tokens);
    if (hidden < 1 || hidden >= tokens) {
      return Invalid("a mask of ", mask, " hides ", hidden, " of ", tokens,
                     " tokens; at least one must be hidden and one stay");
    }
    return Outputs({{DType::kInt32, Shape({shape.dim(0), tokens - hidden})},
                    {DType::kInt32, Shape({shape.dim(0), hidden})}});
  }

  // Selection sampling (Knuth, The Art of Computer Programming, 3.4.2,
  // algorithm S): each token in turn, by the chance that what is left to be
  // chosen has among what is left.
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& shape = spec.inputs[0].shape;
    const int64_t tokens = shape.dim(1);
    return MakeKernel([rows = shape.dim(0), tokens,
                       kept = tokens - HiddenOf(Typed(*spec.params), tokens),
                       key = spec.stream_key](const KernelArgs& args) {
      ParallelFor(rows, 64, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          int32_t* keep = args.outputs[0].ints() + r * kept;
          int32_t* hide = args.outputs[1].ints() + r * (tokens - kept);
          int64_t left = kept;
          for (int64_t t = 0; t < tokens; ++t) {
            const auto draw = static_cast<int64_t>(
                RandomBelow(key, args.step, r * tokens + t, tokens - t));
            if (draw < left) {
              *keep++ = static_cast<int32_t>(t);
              --left;
            } else {
              *hide++ = static_cast<int32_t>(t);
            }
          }
        }
      });
      return absl::OkStatus();
    });
  }
};

absl::Status CheckTokens(const TensorType& x) {
  if (x.dtype == DType::kFloat && x.shape.rank() == 3) return absl::OkStatus();
  return Invalid("x must be FLOAT [B, tokens, features], not ", x.ToString());
}

// `index` must be INT32 [B, any], or [B, count] if count isn't negative.
absl::Status CheckIndex(const TensorType& index, const Shape& x, int64_t count,
                        const char* name) {
  if (index.dtype == DType::kInt32 && index.shape.rank() == 2 &&
      index.shape.dim(0) == x.dim(0) &&
      (count < 0 || index.shape.dim(1) == count)) {
    return absl::OkStatus();
  }
  TensorType expected{DType::kInt32, Shape({x.dim(0), count})};
  return Invalid(name, " must be ",
                 count < 0 ? "INT32, a row of places for each sample of "
                           : expected.ToString() + " for ",
                 x.ToString(), ", not ", index.ToString());
}

// That all of `index` are places of `tokens`.
absl::Status CheckPlaces(const Tensor& index, int64_t tokens) {
  const int32_t* places = index.ints();
  bool good = true;
  for (int64_t i = 0; i < index.elements(); ++i) {
    good &= places[i] >= 0 && places[i] < tokens;
  }
  if (good) return absl::OkStatus();
  return Invalid("an index lies outside of the ", tokens, " tokens");
}

class TakeTokensOp : public TypedOp<op::TakeTokens> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, index"));
    TAMER_RETURN_IF_ERROR(CheckTokens(inputs[0]));
    const Shape& x = inputs[0].shape;
    TAMER_RETURN_IF_ERROR(CheckIndex(inputs[1], x, -1, "index"));
    return Outputs(
        {{DType::kFloat, Shape({x.dim(0), inputs[1].shape.dim(1), x.dim(2)})}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    op::PlaceTokens place;
    place.set_tokens(g.InputType(0).shape.dim(1));
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", place, {g.OutputGradient(0), g.Input(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    return MakeKernel(
        [rows = x.dim(0), tokens = x.dim(1), width = x.dim(2),
         taken = spec.inputs[1].shape.dim(1)](const KernelArgs& args) {
          TAMER_RETURN_IF_ERROR(CheckPlaces(args.inputs[1], tokens));
          const float* from = args.inputs[0].floats();
          const int32_t* index = args.inputs[1].ints();
          float* to = args.outputs[0].floats();
          ParallelFor(rows * taken, kGrain / width + 1,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i) {
                          const int64_t place = i / taken * tokens + index[i];
                          std::memcpy(to + i * width, from + place * width,
                                      width * sizeof(float));
                        }
                      });
          return absl::OkStatus();
        });
  }
};

class PlaceTokensOp : public TypedOp<op::PlaceTokens> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "x, index"));
    TAMER_RETURN_IF_ERROR(CheckTokens(inputs[0]));
    const Shape& x = inputs[0].shape;
    TAMER_RETURN_IF_ERROR(CheckIndex(inputs[1], x, x.dim(1), "index"));
    const int64_t tokens = Typed(params).tokens();
    TAMER_RETURN_IF_ERROR(CheckNumber(tokens >= 1 && tokens <= INT32_MAX,
                                      "tokens", static_cast<double>(tokens),
                                      "1 to 2147483647"));
    return Outputs({{DType::kFloat, Shape({x.dim(0), tokens, x.dim(2)})}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(
        const std::string dx,
        g.Emit("input", op::TakeTokens(), {g.OutputGradient(0), g.Input(1)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    return MakeKernel([rows = x.dim(0), placed = x.dim(1), width = x.dim(2),
                       tokens = Typed(*spec.params).tokens()](
                          const KernelArgs& args) {
      TAMER_RETURN_IF_ERROR(CheckPlaces(args.inputs[1], tokens));
      ParallelFor(
          rows, kGrain / (tokens * width) + 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              const float* from = args.inputs[0].floats() + r * placed * width;
              const int32_t* index = args.inputs[1].ints() + r * placed;
              float* to = args.outputs[0].floats() + r * tokens * width;
              std::memset(to, 0, tokens * width * sizeof(float));
              for (int64_t i = 0; i < placed; ++i) {
                float* token = to + index[i] * width;
                for (int64_t c = 0; c < width; ++c) {
                  token[c] += from[i * width + c];
                }
              }
            }
          });
      return absl::OkStatus();
    });
  }
};

class RestoreTokensOp : public TypedOp<op::RestoreTokens> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams&,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 3, "x, kept, hidden"));
    TAMER_RETURN_IF_ERROR(CheckTokens(inputs[0]));
    const Shape& x = inputs[0].shape;
    TAMER_RETURN_IF_ERROR(CheckIndex(inputs[1], x, x.dim(1), "kept"));
    TAMER_RETURN_IF_ERROR(CheckIndex(inputs[2], x, -1, "hidden"));
    const int64_t tokens = x.dim(1) + inputs[2].shape.dim(1);
    Inference result =
        Outputs({{DType::kFloat, Shape({x.dim(0), tokens, x.dim(2)})}});
    VariableSpec token;
    token.name = "token";
    token.type.shape = Shape({x.dim(2)});
    token.initializer.mutable_gaussian()->set_stddev(0.02f);
    token.decay = false;
    result.variables.push_back(token);
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (g.Wanted(0)) {
      TAMER_ASSIGN_OR_RETURN(
          const std::string dx,
          g.Emit("input", op::TakeTokens(), {g.OutputGradient(0), g.Input(1)}));
      g.SetGradient(0, dx);
    }
    if (g.Wanted(3)) {
      op::Reduce sum;
      sum.add_axis(0);
      sum.add_axis(1);
      TAMER_ASSIGN_OR_RETURN(const std::string hidden,
                             g.Emit("hidden", op::TakeTokens(),
                                    {g.OutputGradient(0), g.Input(2)}));
      TAMER_ASSIGN_OR_RETURN(const std::string token,
                             g.Emit("token", sum, {hidden}));
      g.SetGradient(3, token);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    return MakeKernel([rows = x.dim(0), kept = x.dim(1), width = x.dim(2),
                       tokens = spec.outputs[0].shape.dim(1)](
                          const KernelArgs& args) {
      TAMER_RETURN_IF_ERROR(CheckPlaces(args.inputs[1], tokens));
      const int64_t bytes = width * static_cast<int64_t>(sizeof(float));
      ParallelFor(
          rows, kGrain / (tokens * width) + 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              const float* from = args.inputs[0].floats() + r * kept * width;
              const int32_t* index = args.inputs[1].ints() + r * kept;
              float* to = args.outputs[0].floats() + r * tokens * width;
              for (int64_t t = 0; t < tokens; ++t) {
                std::memcpy(to + t * width, args.inputs[3].data, bytes);
              }
              for (int64_t i = 0; i < kept; ++i) {
                std::memcpy(to + index[i] * width, from + i * width, bytes);
              }
            }
          });
      return absl::OkStatus();
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(token_choice, RandomKeepOp, TakeTokensOp, PlaceTokensOp,
                RestoreTokensOp)

}  // namespace tamer
