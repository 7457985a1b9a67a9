// Attention in several heads, and its gradient: every head of every sample by
// itself, spread over the threads. See ops/internal/attention.h for how.

#include "ops/internal/attention.h"

#include <omp.h>

#include <cmath>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/attention.pb.h"

namespace tamer {
namespace {

constexpr int64_t kLongest = int64_t{1} << 24;  // keys, numbers in a row

// What the inputs of an Attention are.
struct Inputs {
  bool packed = false;   // q, k and v in one
  bool lengths = false;  // the last
  int64_t queries = 0, keys = 0, width = 0;

  int floats() const { return packed ? 1 : 3; }
};

absl::Status CheckSequence(const Shape& shape, const char* what) {
  if (shape.rank() != 3) {
    return Invalid(what, " must be [B, T, width], but is ", shape.ToString());
  }
  for (int i = 1; i < 3; ++i) {
    if (shape.dim(i) < 1 || shape.dim(i) > kLongest) {
      return Invalid(what, " is ", shape.ToString(),
                     "; its length and width must be 1 to ", kLongest);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckApart(Types inputs) {
  const Shape& q = inputs[0].shape;
  const char* names[] = {"q", "k", "v"};
  for (int i = 0; i < 3; ++i) {
    TAMER_RETURN_IF_ERROR(CheckSequence(inputs[i].shape, names[i]));
  }
  const Shape expected({q.dim(0), inputs[1].shape.dim(1), q.dim(2)});
  for (int i = 1; i < 3; ++i) {
    if (inputs[i].shape == expected) continue;
    return Invalid(names[i], " must be [B, Tk, width], for this q ",
                   expected.ToString(), ", but is ",
                   inputs[i].shape.ToString());
  }
  return absl::OkStatus();
}

absl::StatusOr<Inputs> InputsOf(Types inputs) {
  Inputs result;
  size_t count = inputs.size();
  if (count > 0 && inputs[count - 1].dtype == DType::kInt32) {
    result.lengths = true;
    --count;
  }
  if (count != 1 && count != 3) {
    return Invalid(
        "takes q, k and v in one input [B, T, 3 * width] or in three, and then "
        "maybe lengths, INT32 [B]; not ",
        inputs.size(), inputs.size() == 1 ? " input" : " inputs");
  }
  result.packed = count == 1;
  TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, count)));
  const Shape& q = inputs[0].shape;
  if (result.packed) {
    TAMER_RETURN_IF_ERROR(CheckSequence(q, "q, k and v in one"));
    if (q.dim(2) % 3 != 0) {
      return Invalid("q, k and v in one must be [B, T, 3 * width], but are ",
                     q.ToString());
    }
  } else {
    TAMER_RETURN_IF_ERROR(CheckApart(inputs));
  }
  result.queries = q.dim(1);
  result.keys = result.packed ? q.dim(1) : inputs[1].shape.dim(1);
  result.width = result.packed ? q.dim(2) / 3 : q.dim(2);
  if (result.lengths && inputs[count].shape != Shape({q.dim(0)})) {
    return Invalid("lengths must be ",
                   TensorType{DType::kInt32, Shape({q.dim(0)})}.ToString(),
                   ", but are ", inputs[count].ToString());
  }
  return result;
}

absl::Status CheckParams(const op::Attention& params, const Inputs& inputs) {
  const int64_t heads = params.heads();
  if (heads < 1 || inputs.width % heads != 0) {
    return Invalid("heads is ", heads, "; it must divide the width ",
                   inputs.width);
  }
  TAMER_RETURN_IF_ERROR(
      CheckNumber(params.scale() >= 0 && std::isfinite(params.scale()), "scale",
                  params.scale(), "finite and not negative"));
  if (params.rotary()) {
    const int64_t width = inputs.width / heads;
    if (width % 2 != 0) {
      return Invalid(
          "rotary positions need heads of even width, but the width ",
          inputs.width, " over ", heads, " heads is ", width);
    }
    const float base = params.rotary_base();
    TAMER_RETURN_IF_ERROR(CheckNumber(base > 1 && std::isfinite(base),
                                      "rotary_base", base,
                                      "above 1 and finite"));
  }
  if (params.causal() && inputs.queries > inputs.keys) {
    return Invalid("causal attention of ", inputs.queries, " queries to ",
                   inputs.keys, " keys: there must be a key for every query");
  }
  return absl::OkStatus();
}

// What forward and backward kernels know.
struct Plan {
  Plan(const op::Attention& params, const Inputs& seen, int64_t samples)
      : inputs(seen), batch(samples), heads(params.heads()) {
    shape = AttentionShapeOf(params, inputs.queries, inputs.keys, inputs.width);
    shape.y_stride = inputs.width;
    shape.q_stride = shape.kv_stride = inputs.width * (inputs.packed ? 3 : 1);
    if (params.rotary()) {
      rotary = RotaryTable(
          inputs.keys > inputs.queries ? inputs.keys : inputs.queries,
          shape.width, params.rotary_base());
    }
    threads = static_cast<int>(std::min<int64_t>(TeamSize(), batch * heads));
  }

  // Where head `h` of sample `b` begins in q, k or v: `part` is 0, 1 or 2.
  template <typename Float>
  Float* Place(Float* const* data, int part, int64_t b, int64_t h) const {
    const int64_t rows = part == 0 ? shape.queries : shape.keys;
    const int64_t column = h * shape.width;
    return inputs.packed ? data[0] + b * rows * shape.q_stride +
                               part * inputs.width + column
                         : data[part] + b * rows * inputs.width + column;
  }
  // Where it begins in the result, and in its row's logarithms.
  int64_t Result(int64_t b, int64_t h) const {
    return b * shape.queries * shape.y_stride + h * shape.width;
  }
  int64_t Sums(int64_t b, int64_t h) const {
    return (b * heads + h) * shape.queries;
  }

  // Calls use(b, h, scratch) for all heads of all samples.
  template <typename Use>
  void ForEachHead(void* scratch, int64_t part, const Use& use) const {
    OnTeam(threads == 1, [&](int thread, int team) {
      team = std::min(team, threads);
      if (thread >= team) return;
      float* own = static_cast<float*>(scratch) + thread * part;
      const int64_t all = batch * heads;
      for (int64_t i = all * thread / team; i < all * (thread + 1) / team;
           ++i) {
        use(i / heads, i % heads, own);
      }
    });
  }

  Inputs inputs;
  int64_t batch, heads;
  AttentionShape shape;
  RotaryTable rotary;
  int threads;
};

// The tensors q, k and v of a kernel whose inputs begin at `first`.
struct Sequences {
  Sequences(const Plan& plan, absl::Span<const Tensor> inputs, int first) {
    for (int i = 0; i < plan.inputs.floats(); ++i) {
      data[i] = inputs[first + i].floats();
    }
    if (plan.inputs.lengths) lengths = inputs.back().ints();
  }
  AttentionHead At(const Plan& plan, int64_t b, int64_t h) const {
    int64_t length = plan.shape.keys;
    if (lengths != nullptr) {
      length = std::min<int64_t>(length, std::max(0, lengths[b]));
    }
    return {plan.Place(data, 0, b, h), plan.Place(data, 1, b, h),
            plan.Place(data, 2, b, h), length};
  }

  const float* data[3] = {nullptr, nullptr, nullptr};
  const int32_t* lengths = nullptr;
};

// Two products for each pair of a query and a key; half of them if causal.
double PairFlops(const op::Attention& params, const Inputs& inputs,
                 double batch) {
  const double queries = static_cast<double>(inputs.queries);
  const double keys = static_cast<double>(inputs.keys);
  const double pairs =
      params.causal() ? queries * (keys - (queries - 1) / 2) : queries * keys;
  return 4 * batch * pairs * static_cast<double>(inputs.width);
}

class AttentionOp : public TypedOp<op::Attention> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types types) const override {
    TAMER_ASSIGN_OR_RETURN(const Inputs inputs, InputsOf(types));
    TAMER_RETURN_IF_ERROR(CheckParams(Typed(params), inputs));
    const int64_t batch = types[0].shape.dim(0);
    return Outputs(
        {{DType::kFloat, Shape({batch, inputs.queries, inputs.width})},
         {DType::kFloat,
          Shape({batch, Typed(params).heads(), inputs.queries})}});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (!g.OutputGradient(1).empty()) {
      return absl::UnimplementedError(
          "Attention has no gradient by its output 1");
    }
    op::AttentionGradient gradient;
    *gradient.mutable_attention() = Typed(g.params());
    std::vector<std::string> inputs = {g.OutputGradient(0), g.Output(0),
                                       g.Output(1)};
    for (int i = 0; i < g.num_inputs(); ++i) inputs.push_back(g.Input(i));
    TAMER_ASSIGN_OR_RETURN(const std::string first,
                           g.Emit("input", gradient, inputs));
    g.SetGradient(0, first);
    for (int i = 1; i < 3 && g.num_inputs() >= 3; ++i) {
      g.SetGradient(i, absl::StrCat(first, ":", i));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(const Inputs inputs, InputsOf(spec.inputs));
    const Plan plan(Typed(*spec.params), inputs, spec.inputs[0].shape.dim(0));
    const int64_t part = AttentionScratch(plan.shape);
    return MakeKernel(
        [plan, part](const KernelArgs& args) {
          const Sequences sequences(plan, args.inputs, 0);
          float* y = args.outputs[0].floats();
          float* sums = args.outputs[1].floats();
          plan.ForEachHead(
              args.scratch, part, [&](int64_t b, int64_t h, float* scratch) {
                AttendHead(plan.shape, plan.rotary, sequences.At(plan, b, h),
                           y + plan.Result(b, h), sums + plan.Sums(b, h),
                           scratch);
              });
          return absl::OkStatus();
        },
        plan.threads * part * static_cast<int64_t>(sizeof(float)));
  }

  double Flops(const KernelSpec& spec) const override {
    const auto inputs = InputsOf(spec.inputs);
    return inputs.ok() ? PairFlops(Typed(*spec.params), *inputs,
                                   spec.inputs[0].shape.dim(0))
                       : 0;
  }
};

class AttentionGradientOp : public TypedOp<op::AttentionGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types types) const override {
    if (types.size() < 4) {
      return Invalid(
          "takes dy, Attention's outputs 0 and 1 and its inputs, not ",
          types.size(), types.size() == 1 ? " input" : " inputs");
    }
    const op::Attention& attention = Typed(params).attention();
    TAMER_ASSIGN_OR_RETURN(const Inputs inputs, InputsOf(types.subspan(3)));
    TAMER_RETURN_IF_ERROR(CheckParams(attention, inputs));
    TAMER_RETURN_IF_ERROR(CheckFloats(types.subspan(0, 3)));
    const int64_t batch = types[3].shape.dim(0);
    const Shape y({batch, inputs.queries, inputs.width});
    const Shape sums({batch, attention.heads(), inputs.queries});
    for (int i = 0; i < 3; ++i) {
      const Shape& expected = i < 2 ? y : sums;
      if (types[i].shape == expected) continue;
      return Invalid("input ", i, " must be ", expected.ToString(), ", but is ",
                     types[i].shape.ToString());
    }
    std::vector<TensorType> outputs;
    for (int i = 0; i < inputs.floats(); ++i) outputs.push_back(types[3 + i]);
    return Outputs(outputs);
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Types own = absl::MakeSpan(spec.inputs).subspan(3);
    TAMER_ASSIGN_OR_RETURN(const Inputs inputs, InputsOf(own));
    const Plan plan(Typed(*spec.params).attention(), inputs,
                    own[0].shape.dim(0));
    const int64_t part = AttentionGradientScratch(plan.shape);
    return MakeKernel(
        [plan, part](const KernelArgs& args) {
          const Sequences sequences(plan, args.inputs, 3);
          float* to[3] = {};
          for (int i = 0; i < plan.inputs.floats(); ++i) {
            to[i] = args.outputs[i].floats();
          }
          plan.ForEachHead(
              args.scratch, part, [&](int64_t b, int64_t h, float* scratch) {
                const int64_t at = plan.Result(b, h);
                const AttentionHeadGradient gradient{
                    args.inputs[0].floats() + at,
                    args.inputs[1].floats() + at,
                    args.inputs[2].floats() + plan.Sums(b, h),
                    plan.Place(to, 0, b, h),
                    plan.Place(to, 1, b, h),
                    plan.Place(to, 2, b, h)};
                AttendHeadGradient(plan.shape, plan.rotary,
                                   sequences.At(plan, b, h), gradient, scratch);
              });
          return absl::OkStatus();
        },
        plan.threads * part * static_cast<int64_t>(sizeof(float)));
  }

  // Five products a pair instead of two.
  double Flops(const KernelSpec& spec) const override {
    const auto inputs = InputsOf(absl::MakeSpan(spec.inputs).subspan(3));
    return inputs.ok() ? 2.5 * PairFlops(Typed(*spec.params).attention(),
                                         *inputs, spec.inputs[3].shape.dim(0))
                       : 0;
  }
};

}  // namespace

TAMER_OP_FAMILY(attention, AttentionOp, AttentionGradientOp)

}  // namespace tamer
