// Causal attention of what comes bit by bit, for generation: keys and values
// of earlier positions are kept in variables.

#include <omp.h>

#include <cmath>
#include <cstring>

#include "core/base/parallel.h"
#include "ops/internal/attention.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/attention.pb.h"

namespace tamer {
namespace {

constexpr int64_t kLongest = int64_t{1} << 20;
// Pairs of a query's and a key's numbers that are worth another thread.
constexpr int64_t kGrain = 1 << 14;

absl::Status CheckCached(const op::CachedAttention& params, Types inputs) {
  TAMER_RETURN_IF_ERROR(CheckCount(inputs, 2, "q, k and v in one, position"));
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, 1)));
  const Shape& x = inputs[0].shape;
  if (x.rank() != 3 || x.dim(1) < 1 || x.dim(2) < 3 || x.dim(2) % 3 != 0) {
    return Invalid("q, k and v in one must be [B, T, 3 * width], but are ",
                   x.ToString());
  }
  if (inputs[1] != TensorType{DType::kInt32, Shape()}) {
    return Invalid("position must be INT32 [], but is ", inputs[1].ToString());
  }
  const int64_t context = params.context();
  if (context < x.dim(1) || context > kLongest) {
    return Invalid("context is ", context, "; it must be T, here ", x.dim(1),
                   ", to ", kLongest);
  }
  const op::Attention& attention = params.attention();
  const int64_t width = x.dim(2) / 3, heads = attention.heads();
  if (heads < 1 || width % heads != 0) {
    return Invalid("heads is ", heads, "; it must divide the width ", width);
  }
  if (!attention.causal())
    return Invalid("only causal attention can be cached");
  if (attention.rotary() && width / heads % 2 != 0) {
    return Invalid("rotary positions need heads of even width");
  }
  return absl::OkStatus();
}

class CachedKernel : public Kernel {
 public:
  CachedKernel(const op::CachedAttention& params, const Shape& x)
      : context_(params.context()),
        width_(x.dim(2) / 3),
        heads_(params.attention().heads()),
        threads_(static_cast<int>(std::min<int64_t>(heads_, TeamSize()))) {
    shape_ = AttentionShapeOf(params.attention(), x.dim(1), context_, width_);
    shape_.q_stride = 3 * width_;
    shape_.kv_stride = shape_.y_stride = width_;
    if (params.attention().rotary()) {
      rotary_ =
          RotaryTable(context_, shape_.width, params.attention().rotary_base());
    }
    // The logarithms of sums, which nobody wants, stand behind a thread's own.
    part_ = AttentionScratch(shape_) + (shape_.queries + 15) / 16 * 16;
  }

  absl::Status Run(const KernelArgs& args) override {
    const int64_t position = args.inputs[1].ints()[0];
    if (position < 0 || position + shape_.queries > context_) {
      return absl::OutOfRangeError(absl::StrCat(
          "positions ", position, " to ", position + shape_.queries - 1,
          " are not all within ", "the context of ", context_));
    }
    Keep(args, position);
    AttentionShape shape = shape_;
    shape.keys = position + shape.queries;
    const bool alone =
        threads_ == 1 || shape.queries * shape.keys * width_ < kGrain;
    OnTeam(alone, [&](int thread, int team) {
      team = std::min(team, threads_);
      if (thread >= team) return;
      float* scratch = static_cast<float*>(args.scratch) + thread * part_;
      float* sums = scratch + AttentionScratch(shape_);
      for (int64_t h = heads_ * thread / team; h < heads_ * (thread + 1) / team;
           ++h) {
        const int64_t column = h * shape.width;
        AttendHead(
            shape, rotary_,
            {args.inputs[0].floats() + column, args.inputs[2].floats() + column,
             args.inputs[3].floats() + column, shape.keys},
            args.outputs[0].floats() + column, sums, scratch);
      }
    });
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return threads_ * part_ * static_cast<int64_t>(sizeof(float));
  }

 private:
  // The new keys and values go behind those of earlier positions.
  void Keep(const KernelArgs& args, int64_t position) const {
    for (int64_t t = 0; t < shape_.queries; ++t) {
      for (int part = 1; part < 3; ++part) {
        std::memcpy(args.inputs[1 + part].floats() + (position + t) * width_,
                    args.inputs[0].floats() + (3 * t + part) * width_,
                    width_ * sizeof(float));
      }
    }
  }

  const int64_t context_, width_, heads_;
  const int threads_;
  AttentionShape shape_;
  RotaryTable rotary_;
  int64_t part_ = 0;  // floats of a thread's scratch
};

class CachedAttentionOp : public TypedOp<op::CachedAttention> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCached(Typed(params), inputs));
    const Shape& x = inputs[0].shape;
    const int64_t width = x.dim(2) / 3;
    Inference result =
        Outputs({{DType::kFloat, Shape({x.dim(0), x.dim(1), width})}});
    for (const char* name : {"keys", "values"}) {
      VariableSpec cache;
      cache.name = name;
      cache.type.shape = Shape({Typed(params).context(), width});
      cache.initializer.mutable_zero();
      cache.trainable = false;
      cache.mutated = true;
      result.variables.push_back(cache);
    }
    return result;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    if (spec.inputs[0].shape.dim(0) != 1) {
      return Invalid("CachedAttention keeps one sequence, not ",
                     spec.inputs[0].shape.dim(0));
    }
    return std::make_unique<CachedKernel>(Typed(*spec.params),
                                          spec.inputs[0].shape);
  }
};

}  // namespace

TAMER_OP_FAMILY(cached_attention, CachedAttentionOp)

}  // namespace tamer
