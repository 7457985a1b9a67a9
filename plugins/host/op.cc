// A TamerOp as an Op.

#include <limits>

#include "core/op/gradient.h"
#include "plugins/host/op_adapter.h"
#include "plugins/host/op_table.h"
#include "plugins/host/services.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptorProto;

absl::Status CheckArity(const TamerOp& op, size_t count) {
  const uint32_t most = op.max_inputs == 0
                            ? op.min_inputs
                            : std::max(op.max_inputs, op.min_inputs);
  if (count >= op.min_inputs && count <= most) return absl::OkStatus();
  return Invalid("it takes ", op.min_inputs,
                 most == op.min_inputs ? ""
                 : most == std::numeric_limits<uint32_t>::max()
                     ? " or more"
                     : absl::StrCat(" to ", most),
                 " inputs, not ", count);
}

class ForwardKernel : public PluginKernel {
 public:
  ForwardKernel(const OpTable& table, const KernelSpec& spec, size_t inputs)
      : PluginKernel(SiteOf(table.site, spec), table.op.destroy),
        run_(table.op.run),
        inputs_(spec.inputs),
        outputs_(spec.outputs),
        call_(Make<TamerCall>()) {
    call_.inputs = inputs_.data();
    call_.variables = inputs_.data() + inputs;
    call_.outputs = outputs_.data();
  }

  absl::Status Run(const KernelArgs& args) override {
    inputs_.Point(args.inputs);
    outputs_.Point(args.outputs);
    call_.scratch = args.scratch;
    call_.step = args.step;
    return Guarded(site(), [&](TamerError* error) {
      return run_(kernel(), &call_, error);
    });
  }

 private:
  TamerStatus (*const run_)(void*, const TamerCall*, TamerError*);
  Views inputs_, outputs_;  // inputs, then variables
  TamerCall call_;
};

class PluginOp : public FromSchema<Op> {
 public:
  PluginOp(std::shared_ptr<const OpTable> table, const Op* gradient)
      : FromSchema(table->schema),
        table_(std::move(table)),
        gradient_(gradient) {}

  absl::StatusOr<Inference> Infer(
      const OpParams& params,
      absl::Span<const TensorType> inputs) const override;
  absl::Status Gradient(GradientBuilder& builder) const override;
  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override;
  int InPlaceInput(const OpParams&, int output) const override {
    return output == 0 && table_->Has(TAMER_OP_IN_PLACE) ? 0 : -1;
  }
  bool IdentityAtInference() const override {
    return table_->Has(TAMER_OP_IDENTITY_AT_INFERENCE);
  }
  std::unique_ptr<OpParams> AtInference(const OpParams& params) const override;
  double Flops(const KernelSpec& spec) const override;

 private:
  // How many of a node's inputs and variables are inputs.
  absl::StatusOr<size_t> CountInputs(const OpParams& params,
                                     const std::vector<TensorType>& all,
                                     Inference* inference) const;

  const std::shared_ptr<const OpTable> table_;
  const Op* const gradient_;
};

absl::StatusOr<Inference> PluginOp::Infer(
    const OpParams& params, absl::Span<const TensorType> inputs) const {
  const TamerOp& op = table_->op;
  TAMER_RETURN_IF_ERROR(table_->schema->Check(params));
  TAMER_RETURN_IF_ERROR(CheckArity(op, inputs.size()));
  TamerInference inference;
  inference.inputs = inputs;
  for (const TensorType& type : inputs) {
    if (type.dtype == DType::kInt8) {
      return Invalid("an input is ", type.ToString(),
                     ", which the plugin interface doesn't know");
    }
    inference.views.push_back(ViewOf(type));
  }
  if (op.infer == nullptr) {
    if (inputs.empty()) return Invalid("it has no input and no shape rule");
    inference.result.outputs.push_back(inputs[0]);
    return std::move(inference.result);
  }
  const TamerParams view{table_->schema.get(), &params, ""};
  TAMER_RETURN_IF_ERROR(Guarded(table_->plugin, [&](TamerError* error) {
    inference.error = error;
    const TamerStatus status = op.infer(op.user, &view, &inference, error);
    // An error noted in passing counts, whatever was returned.
    return error->text.empty() ? status : TAMER_FAILED;
  }));
  if (inference.result.outputs.empty()) return Invalid("it has no output");
  const bool frozen = table_->InferenceOf(params);
  for (VariableSpec& variable : inference.result.variables) {
    if (variable.mutated && !table_->Has(TAMER_OP_DIFFERS_AT_INFERENCE)) {
      return Invalid("it has state (", variable.name,
                     "), so it must set TAMER_OP_DIFFERS_AT_INFERENCE");
    }
    if (frozen) variable.mutated = false;
  }
  return std::move(inference.result);
}

absl::StatusOr<size_t> PluginOp::CountInputs(const OpParams& params,
                                             const std::vector<TensorType>& all,
                                             Inference* inference) const {
  for (size_t count = all.size() + 1; count-- > 0;) {
    auto tried = Infer(params, absl::MakeSpan(all).subspan(0, count));
    if (!tried.ok() || tried->variables.size() != all.size() - count) continue;
    bool same = true;
    for (size_t i = count; i < all.size(); ++i) {
      same = same && tried->variables[i - count].type == all[i];
    }
    if (!same) continue;
    *inference = *std::move(tried);
    return count;
  }
  return Invalid("its shape rule gave other variables than before");
}

absl::StatusOr<std::unique_ptr<Kernel>> PluginOp::Compile(
    const KernelSpec& spec) const {
  Inference inference;
  TAMER_ASSIGN_OR_RETURN(const size_t count,
                         CountInputs(*spec.params, spec.inputs, &inference));
  const auto middle = spec.inputs.begin() + static_cast<int64_t>(count);
  SpecView view(*table_->schema, *spec.params, {spec.inputs.begin(), middle},
                {middle, spec.inputs.end()}, spec.outputs, spec);
  (*view).direction = TAMER_FORWARD;
  (*view).inference = table_->InferenceOf(*spec.params);
  auto kernel = std::make_unique<ForwardKernel>(*table_, spec, count);
  TAMER_RETURN_IF_ERROR(
      kernel->Init(table_->op.create, table_->op.user, *view));
  return std::unique_ptr<Kernel>(std::move(kernel));
}

double PluginOp::Flops(const KernelSpec& spec) const {
  Inference inference;
  if (table_->op.flops == nullptr) return Op::Flops(spec);
  const auto count = CountInputs(*spec.params, spec.inputs, &inference);
  if (!count.ok()) return Op::Flops(spec);
  const auto middle = spec.inputs.begin() + static_cast<int64_t>(*count);
  SpecView view(*table_->schema, *spec.params, {spec.inputs.begin(), middle},
                {middle, spec.inputs.end()}, spec.outputs, spec);
  double flops = 0;
  const absl::Status status = Guarded(table_->site, [&](TamerError*) {
    flops = table_->op.flops(table_->op.user, &*view);
    return TAMER_OK;
  });
  return status.ok() ? flops : Op::Flops(spec);
}

std::unique_ptr<OpParams> PluginOp::AtInference(const OpParams& params) const {
  if (!table_->Has(TAMER_OP_DIFFERS_AT_INFERENCE)) return nullptr;
  auto other = NewParams();
  other->CopyFrom(params);
  other->GetReflection()->SetBool(
      other.get(), other->GetDescriptor()->FindFieldByName(kInferenceField),
      true);
  return other;
}

absl::Status PluginOp::Gradient(GradientBuilder& builder) const {
  const TamerOp& op = table_->op;
  if (op.gradient == nullptr && op.backward == nullptr) {
    return Op::Gradient(builder);
  }
  std::vector<TensorType> all;
  for (int i = 0; i < builder.num_inputs(); ++i) {
    all.push_back(builder.InputType(i));
  }
  Inference inference;
  TAMER_ASSIGN_OR_RETURN(const size_t count,
                         CountInputs(builder.params(), all, &inference));
  if (op.gradient == nullptr) {
    return EmitGradientOp(*table_, *gradient_, count, inference, builder);
  }
  const TamerParams view{table_->schema.get(), &builder.params(), ""};
  TamerGradient gradient;
  gradient.builder = &builder;
  gradient.registry = table_->registry;
  gradient.outputs = static_cast<int>(inference.outputs.size());
  return Guarded(table_->plugin, [&](TamerError* error) {
    gradient.error = error;
    const TamerStatus status = op.gradient(op.user, &view, &gradient, error);
    return error->text.empty() ? status : TAMER_FAILED;
  });
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Op>>> MakeOps(
    const std::string& plugin, const TamerOp* given,
    const OpRegistry* registry) {
  auto table = std::make_shared<OpTable>();
  table->plugin = "plugin " + plugin;
  table->op = Take(given);
  table->registry = registry;
  const TamerOp& op = table->op;
  TAMER_RETURN_IF_ERROR(CheckIdentifier(op.name, "an op's name"));
  table->site = SiteOf(plugin, op.name);
  if (op.run == nullptr) return Invalid("its callback `run` is null");
  if (op.destroy != nullptr && op.create == nullptr) {
    return Invalid("it has a callback `destroy`, but none `create`");
  }
  std::vector<Schema::HostField> forward;
  if (table->Has(TAMER_OP_DIFFERS_AT_INFERENCE)) {
    forward.push_back(
        {kInferenceField, FieldDescriptorProto::TYPE_BOOL, false, ""});
  }
  TAMER_ASSIGN_OR_RETURN(table->schema, Schema::Make(op.name, op.doc, op.params,
                                                     op.num_params, forward));
  std::vector<std::unique_ptr<Op>> ops;
  if (op.backward != nullptr && op.gradient == nullptr) {
    TAMER_ASSIGN_OR_RETURN(ops.emplace_back(), MakeGradientOp(table));
  }
  const Op* gradient = ops.empty() ? nullptr : ops[0].get();
  ops.push_back(std::make_unique<PluginOp>(table, gradient));
  return ops;
}

}  // namespace tamer
