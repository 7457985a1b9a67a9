// A TamerLoss as an Op: a loss, or without a gradient a metric.

#include "core/op/gradient.h"
#include "plugins/host/kernel.h"
#include "plugins/host/op_adapter.h"
#include "proto/ops/elementwise.pb.h"

namespace tamer {
namespace {

struct LossTable {
  std::string site;
  TamerLoss loss;
  std::shared_ptr<const Schema> schema;
  bool metric = false;
};

class LossKernel : public PluginKernel {
 public:
  LossKernel(const LossTable& table, const KernelSpec& spec)
      : PluginKernel(SiteOf(table.site, spec), table.loss.destroy),
        run_(table.loss.run),
        inputs_(spec.inputs),
        outputs_(spec.outputs),
        call_(Make<TamerLossCall>()) {
    call_.prediction = &inputs_[0];
    call_.target = &inputs_[1];
    if (outputs_.size() > 1) call_.gradient = &outputs_[1];
  }

  absl::Status Init(const LossTable& table, const KernelSpec& spec) {
    SpecView view(*table.schema, *spec.params, spec.inputs, {}, spec.outputs,
                  spec);
    return PluginKernel::Init(table.loss.create, table.loss.user, *view);
  }

  absl::Status Run(const KernelArgs& args) override {
    inputs_.Point(args.inputs);
    outputs_.Point(args.outputs);
    call_.value = args.outputs[0].floats();
    call_.scratch = args.scratch;
    return Guarded(site(), [&](TamerError* error) {
      return run_(kernel(), &call_, error);
    });
  }

 private:
  TamerStatus (*const run_)(void*, const TamerLossCall*, TamerError*);
  Views inputs_, outputs_;
  TamerLossCall call_;
};

class LossOp : public FromSchema<Op> {
 public:
  explicit LossOp(LossTable table)
      : FromSchema(table.schema), table_(std::move(table)) {}

  bool TakesLabels() const override {
    return (table_.loss.flags & TAMER_LOSS_LABELS) != 0;
  }

  absl::StatusOr<Inference> Infer(
      const OpParams& params,
      absl::Span<const TensorType> inputs) const override {
    TAMER_RETURN_IF_ERROR(table_.schema->Check(params));
    if (inputs.size() != 2) {
      return Invalid("it takes a prediction and a target, not ", inputs.size(),
                     " inputs");
    }
    const Shape& shape = inputs[0].shape;
    if (inputs[0].dtype != DType::kFloat || shape.rank() < 1) {
      return Invalid("the prediction must be FLOAT [B, ...], but is ",
                     inputs[0].ToString());
    }
    const TensorType target =
        TakesLabels() ? TensorType{DType::kInt32, {shape.dim(0)}} : inputs[0];
    if (inputs[1] != target) {
      return Invalid("the target must be ", target.ToString(), ", but is ",
                     inputs[1].ToString());
    }
    Inference inference;
    inference.outputs.push_back(TensorType());
    if (!table_.metric) inference.outputs.push_back(inputs[0]);
    return inference;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    if (table_.metric) return Op::Gradient(g);
    if (g.Wanted(1)) {
      return absl::UnimplementedError(
          absl::StrCat(name(), " has no gradient at its target"));
    }
    std::string value = g.Output(1);
    if (!g.OutputGradientIsOne(0)) {
      TAMER_ASSIGN_OR_RETURN(
          value, g.Emit("scaled", op::Mul(), {value, g.OutputGradient(0)}));
    }
    g.SetGradient(0, value);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    auto kernel = std::make_unique<LossKernel>(table_, spec);
    TAMER_RETURN_IF_ERROR(kernel->Init(table_, spec));
    return std::unique_ptr<Kernel>(std::move(kernel));
  }

 private:
  const LossTable table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Op>> MakeLoss(const std::string& plugin,
                                             const TamerLoss* given,
                                             bool metric) {
  LossTable table;
  table.loss = Take(given);
  table.metric = metric;
  const TamerLoss& loss = table.loss;
  TAMER_RETURN_IF_ERROR(CheckIdentifier(loss.name, "a name"));
  table.site = SiteOf(plugin, loss.name);
  if (loss.run == nullptr) return Invalid("its callback `run` is null");
  TAMER_ASSIGN_OR_RETURN(
      table.schema,
      Schema::Make(loss.name, loss.doc, loss.params, loss.num_params));
  return std::unique_ptr<Op>(std::make_unique<LossOp>(std::move(table)));
}

}  // namespace tamer
