// Embedding: vectors of tokens and of positions.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/sums.h"
#include "ops/internal/token_rows.h"
#include "proto/ops/embedding.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements worth another thread
constexpr int64_t kMostTokens = (int64_t{1} << 31) - 1;
constexpr int64_t kWidest = int64_t{1} << 24;

absl::Status CheckTokenInput(const TensorType& tokens) {
  if (tokens.dtype == DType::kInt32 && tokens.shape.rank() >= 1) {
    return absl::OkStatus();
  }
  return Invalid("tokens must be INT32 [B, ...], but are ", tokens.ToString());
}

absl::Status CheckVocabulary(int64_t vocabulary) {
  if (vocabulary >= 1 && vocabulary <= kMostTokens) return absl::OkStatus();
  return Invalid("vocabulary is ", vocabulary, "; it must be 1 to ",
                 kMostTokens);
}

absl::Status CheckScale(float scale) {
  return CheckNumber(std::isfinite(scale), "scale", scale, "finite");
}

VariableSpec Vectors(int64_t rows, int64_t width, const Initializer* init) {
  VariableSpec weight;
  weight.name = "weight";
  weight.type.shape = Shape({rows, width});
  if (init != nullptr) {
    weight.initializer = *init;
  } else {
    weight.initializer.mutable_gaussian()->set_stddev(0.02f);
  }
  return weight;
}

TAMER_VECTORIZED void ScaleRow(const float* __restrict x, float scale,
                               int64_t n, float* __restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] = scale * x[i];
}

class EmbeddingOp : public TypedOp<op::Embedding> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::Embedding& embedding = Typed(params);
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "tokens"));
    TAMER_RETURN_IF_ERROR(CheckTokenInput(inputs[0]));
    TAMER_RETURN_IF_ERROR(CheckVocabulary(embedding.vocabulary()));
    TAMER_RETURN_IF_ERROR(CheckScale(embedding.scale()));
    const int64_t width = embedding.width();
    if (width < 1 || width > kWidest) {
      return Invalid("width is ", width, "; it must be 1 to ", kWidest);
    }
    Shape y = inputs[0].shape;
    y.push_back(width);
    Inference result = Outputs({{DType::kFloat, y}});
    result.variables.push_back(
        Vectors(embedding.vocabulary(), width,
                embedding.has_init() ? &embedding.init() : nullptr));
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (!g.Wanted(1)) return absl::OkStatus();
    op::EmbeddingGradient gradient;
    gradient.set_vocabulary(Typed(g.params()).vocabulary());
    gradient.set_scale(Typed(g.params()).scale());
    gradient.set_sparse(Typed(g.params()).sparse());
    TAMER_ASSIGN_OR_RETURN(
        const std::string dw,
        g.Emit("weight", gradient, {g.Input(0), g.OutputGradient(0)}));
    g.SetGradient(1, dw);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::Embedding& embedding = Typed(*spec.params);
    const int64_t vocabulary = embedding.vocabulary();
    const int64_t width = embedding.width();
    const float scale = embedding.scale();
    const int64_t count = spec.inputs[0].shape.elements();
    const int64_t per_sample = count / spec.inputs[0].shape.dim(0);
    return MakeKernel([=](const KernelArgs& args) {
      const int32_t* tokens = args.inputs[0].ints();
      const float* weight = args.inputs[1].floats();
      float* y = args.outputs[0].floats();
      TAMER_RETURN_IF_ERROR(CheckTokens(tokens, count, per_sample, vocabulary));
      ParallelFor(count, kGrain / width + 1, [&](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          float* to = y + i * width;
          if (tokens[i] < 0) {
            std::fill(to, to + width, 0.0f);
          } else {
            ScaleRow(weight + tokens[i] * width, scale, width, to);
          }
        }
      });
      return absl::OkStatus();
    });
  }
};

class EmbeddingGradientOp : public TypedOp<op::EmbeddingGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "tokens, dy"));
    TAMER_RETURN_IF_ERROR(CheckTokenInput(inputs[0]));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(1)));
    TAMER_RETURN_IF_ERROR(CheckVocabulary(Typed(params).vocabulary()));
    TAMER_RETURN_IF_ERROR(CheckScale(Typed(params).scale()));
    const Shape &tokens = inputs[0].shape, &dy = inputs[1].shape;
    if (dy.rank() != tokens.rank() + 1 || dy.rows() != tokens.elements()) {
      return Invalid("dy must be tokens' ", tokens.ToString(),
                     " and a width, but is ", dy.ToString());
    }
    return Outputs(
        {{DType::kFloat, Shape({Typed(params).vocabulary(), dy.back()})}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t vocabulary = Typed(*spec.params).vocabulary();
    const float scale = Typed(*spec.params).scale();
    const int64_t width = spec.outputs[0].shape.dim(1);
    const int64_t count = spec.inputs[0].shape.elements();
    const int64_t per_sample = count / spec.inputs[0].shape.dim(0);
    return MakeKernel([=](const KernelArgs& args) {
      const int32_t* tokens = args.inputs[0].ints();
      const float* dy = args.inputs[1].floats();
      float* dw = args.outputs[0].floats();
      TAMER_RETURN_IF_ERROR(CheckTokens(tokens, count, per_sample, vocabulary));
      ParallelFor(vocabulary * width, kGrain, [&](int64_t i, int64_t end) {
        std::fill(dw + i, dw + end, 0.0f);
      });
      // By columns: each is summed in order, whoever does it.
      ParallelFor(width, kGrain / count + 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < count; ++i) {
          if (tokens[i] < 0) continue;
          AddScaledRow(dy + i * width + begin, scale, end - begin,
                       dw + tokens[i] * width + begin);
        }
      });
      return absl::OkStatus();
    });
  }
};

absl::Status CheckSteps(const Shape& x, int64_t length) {
  if (x.rank() != 3 || x.dim(1) < 1 || x.dim(2) < 1) {
    return Invalid("the input must be [B, T, width], but is ", x.ToString());
  }
  if (length != 0 && length < x.dim(1)) {
    return Invalid("length is ", length, ", but the input has ", x.dim(1),
                   " positions: ", x.ToString());
  }
  if (length > kMostTokens) {
    return Invalid("length is ", length, "; it must be at most ", kMostTokens);
  }
  return absl::OkStatus();
}

int64_t LengthOf(const Shape& x, int64_t length) {
  return length == 0 ? x.dim(1) : length;
}

class PositionEmbeddingOp : public TypedOp<op::PositionEmbedding> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::PositionEmbedding& embedding = Typed(params);
    if (inputs.size() != 2) {
      TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    } else if (inputs[1] != TensorType{DType::kInt32, Shape()}) {
      return Invalid("the first position must be INT32 [], but is ",
                     inputs[1].ToString());
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
    const Shape& x = inputs[0].shape;
    TAMER_RETURN_IF_ERROR(CheckSteps(x, embedding.length()));
    Inference result = Outputs({inputs[0]});
    result.variables.push_back(
        Vectors(LengthOf(x, embedding.length()), x.dim(2),
                embedding.has_init() ? &embedding.init() : nullptr));
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (g.num_inputs() > 2) {
      return absl::UnimplementedError(
          "PositionEmbedding from a position on has no gradient");
    }
    g.SetGradient(0, g.OutputGradient(0));
    if (!g.Wanted(1)) return absl::OkStatus();
    op::PositionEmbeddingGradient gradient;
    gradient.set_length(g.InputType(1).shape.dim(0));
    TAMER_ASSIGN_OR_RETURN(const std::string dw,
                           g.Emit("weight", gradient, {g.OutputGradient(0)}));
    g.SetGradient(1, dw);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t sample =
        spec.inputs[0].shape.dim(1) * spec.inputs[0].shape.dim(2);
    const int64_t batch = spec.inputs[0].shape.dim(0);
    const int64_t steps = spec.inputs[0].shape.dim(1);
    const int64_t width = spec.inputs[0].shape.dim(2);
    const int64_t length = spec.inputs.back().shape.dim(0);
    return MakeKernel([=](const KernelArgs& args) {
      const int64_t first =
          args.inputs.size() == 3 ? args.inputs[1].ints()[0] : 0;
      if (first < 0 || first + steps > length) {
        return absl::OutOfRangeError(
            absl::StrCat("positions ", first, " to ", first + steps - 1,
                         " are not all among ", length));
      }
      const float* x = args.inputs[0].floats();
      const float* weight = args.inputs.back().floats() + first * width;
      float* y = args.outputs[0].floats();
      ParallelFor(batch, kGrain / sample + 1, [&](int64_t b, int64_t end) {
        for (; b < end; ++b) {
          Add(x + b * sample, weight, sample, y + b * sample);
        }
      });
      return absl::OkStatus();
    });
  }

  int InPlaceInput(const OpParams&, int) const override { return 0; }

 private:
  TAMER_VECTORIZED static void Add(const float* x, const float* weight,
                                   int64_t n, float* y) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] + weight[i];
  }
};

class PositionEmbeddingGradientOp
    : public TypedOp<op::PositionEmbeddingGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "dy"));
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs));
    const Shape& dy = inputs[0].shape;
    TAMER_RETURN_IF_ERROR(CheckSteps(dy, Typed(params).length()));
    return Outputs({{DType::kFloat, Shape({LengthOf(dy, Typed(params).length()),
                                           dy.dim(2)})}});
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const int64_t sample =
        spec.inputs[0].shape.dim(1) * spec.inputs[0].shape.dim(2);
    const int64_t batch = spec.inputs[0].shape.dim(0);
    const int64_t all = spec.outputs[0].shape.elements();
    return MakeKernel([=](const KernelArgs& args) {
      float* dw = args.outputs[0].floats();
      SumRows(args.inputs[0].floats(), batch, sample, 1, dw);
      std::fill(dw + sample, dw + all, 0.0f);
      return absl::OkStatus();
    });
  }
};

}  // namespace

TAMER_OP_FAMILY(embedding, EmbeddingOp, EmbeddingGradientOp,
                PositionEmbeddingOp, PositionEmbeddingGradientOp)

}  // namespace tamer
