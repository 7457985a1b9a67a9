// The op NAMEGradient: a plugin's `backward` as a node of its own.

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/op/gradient.h"
#include "plugins/host/op_table.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptorProto;
using google::protobuf::Message;

// Host fields of the schema, which tell what a node was emitted for: types of
// inputs, variables and outputs ("FLOAT:-1,784"), how many there are of each,
// which gradients are wanted, and into which outputs any flows.
constexpr char kTypes[] = "tamer_types";
constexpr char kCounts[] = "tamer_counts";
constexpr char kWanted[] = "tamer_wanted";
constexpr char kFlows[] = "tamer_flows";

const google::protobuf::FieldDescriptor* Field(const Message& message,
                                               const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

std::string TypeText(const TensorType& type) {
  return absl::StrCat(Name(type.dtype), ":",
                      absl::StrJoin(type.shape.dims(), ","));
}

absl::StatusOr<TensorType> TypeFrom(const std::string& text) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  TensorType type;
  bool known = false;
  for (DType dtype : {DType::kFloat, DType::kInt32, DType::kUint8}) {
    if (parts.first == Name(dtype)) {
      type.dtype = dtype;
      known = true;
    }
  }
  if (!parts.second.empty()) {
    for (absl::string_view piece : absl::StrSplit(parts.second, ',')) {
      int64_t dim = 0;
      known = known && absl::SimpleAtoi(piece, &dim) && dim != 0;
      type.shape.push_back(dim);
    }
  }
  if (known && type.shape.rank() <= 12) return type;
  return Invalid("\"", text, "\" is not a type");
}

// What a gradient node was emitted for, from its host fields.
struct BackwardLayout {
  std::vector<TensorType> inputs, variables, outputs;
  std::vector<bool> wanted, flows;
  // Which variables are weights, and so are read.
  std::vector<bool> weights;

  static absl::StatusOr<BackwardLayout> Of(const OpParams& params);
  void Write(OpParams* params) const;
  // A variable that backward isn't given is marked in the text of its type.
  static constexpr char kState[] = "state ";
};

void BackwardLayout::Write(OpParams* params) const {
  const auto* reflection = params->GetReflection();
  const auto add = [&](const std::string& text) {
    reflection->AddString(params, Field(*params, kTypes), text);
  };
  for (const TensorType& type : inputs) add(TypeText(type));
  for (size_t i = 0; i < variables.size(); ++i) {
    add((weights[i] ? "" : kState) + TypeText(variables[i]));
  }
  for (const TensorType& type : outputs) add(TypeText(type));
  for (size_t count : {inputs.size(), variables.size(), outputs.size()}) {
    reflection->AddInt64(params, Field(*params, kCounts),
                         static_cast<int64_t>(count));
  }
  for (bool one : wanted) {
    reflection->AddBool(params, Field(*params, kWanted), one);
  }
  for (bool one : flows) {
    reflection->AddBool(params, Field(*params, kFlows), one);
  }
}

absl::StatusOr<BackwardLayout> BackwardLayout::Of(const OpParams& params) {
  const auto* reflection = params.GetReflection();
  const auto size = [&](const char* name) {
    return reflection->FieldSize(params, Field(params, name));
  };
  BackwardLayout layout;
  int64_t counts[3] = {0, 0, 0};
  for (int i = 0; i < 3 && i < size(kCounts); ++i) {
    counts[i] = reflection->GetRepeatedInt64(params, Field(params, kCounts), i);
    if (counts[i] < 0 || counts[i] > size(kTypes)) counts[i] = 0;
  }
  if (size(kCounts) != 3 || counts[0] + counts[1] + counts[2] != size(kTypes) ||
      size(kWanted) != counts[0] + counts[1] || size(kFlows) != counts[2]) {
    return Invalid("its tamer_ fields don't fit together; such a node is made ",
                   "by the finetune pass");
  }
  for (int i = 0; i < size(kTypes); ++i) {
    std::string text =
        reflection->GetRepeatedString(params, Field(params, kTypes), i);
    const bool state = text.rfind(kState, 0) == 0;
    if (state) text = text.substr(sizeof(kState) - 1);
    TAMER_ASSIGN_OR_RETURN(TensorType type, TypeFrom(text));
    if (i < counts[0]) {
      layout.inputs.push_back(std::move(type));
    } else if (i < counts[0] + counts[1]) {
      layout.variables.push_back(std::move(type));
      layout.weights.push_back(!state);
    } else {
      layout.outputs.push_back(std::move(type));
    }
  }
  for (int i = 0; i < size(kWanted); ++i) {
    layout.wanted.push_back(
        reflection->GetRepeatedBool(params, Field(params, kWanted), i));
  }
  for (int i = 0; i < size(kFlows); ++i) {
    layout.flows.push_back(
        reflection->GetRepeatedBool(params, Field(params, kFlows), i));
  }
  return layout;
}

class BackwardKernel : public PluginKernel {
 public:
  BackwardKernel(const OpTable& table, const KernelSpec& spec,
                 const BackwardLayout& layout)
      : PluginKernel(SiteOf(table.site, spec) + ", gradient", table.op.destroy),
        run_(table.op.backward),
        inputs_(layout.inputs),
        variables_(layout.variables),
        outputs_(layout.outputs),
        output_gradients_(layout.outputs),
        input_gradients_(layout.inputs),
        variable_gradients_(layout.variables),
        call_(Make<TamerBackward>()) {
    call_.inputs = inputs_.data();
    call_.variables = variables_.data();
    call_.outputs = outputs_.data();
    call_.output_gradients = output_gradients_.data();
    call_.input_gradients = input_gradients_.data();
    call_.variable_gradients = variable_gradients_.data();
    // The operands, in the order in which EmitBackward names them.
    const auto all = [this](Views& views) {
      for (size_t i = 0; i < views.size(); ++i) reads_.push_back(&views[i]);
    };
    if (table.Has(TAMER_OP_BACKWARD_INPUTS)) all(inputs_);
    for (size_t i = 0; i < variables_.size(); ++i) {
      if (layout.weights[i]) reads_.push_back(&variables_[i]);
    }
    if (table.Has(TAMER_OP_BACKWARD_OUTPUTS)) all(outputs_);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (layout.flows[i]) reads_.push_back(&output_gradients_[i]);
    }
    for (size_t i = 0; i < layout.wanted.size(); ++i) {
      if (!layout.wanted[i]) continue;
      const size_t n = inputs_.size();
      writes_.push_back(i < n ? &input_gradients_[i]
                              : &variable_gradients_[i - n]);
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    for (size_t i = 0; i < reads_.size(); ++i) {
      reads_[i]->data = args.inputs[i].data;
    }
    for (size_t i = 0; i < writes_.size(); ++i) {
      writes_[i]->data = args.outputs[i].data;
    }
    call_.scratch = args.scratch;
    call_.step = args.step;
    return Guarded(site(), [&](TamerError* error) {
      return run_(kernel(), &call_, error);
    });
  }

 private:
  TamerStatus (*const run_)(void*, const TamerBackward*, TamerError*);
  Views inputs_, variables_, outputs_;
  Views output_gradients_, input_gradients_, variable_gradients_;
  std::vector<TamerTensor*> reads_, writes_;
  TamerBackward call_;
};

class PluginGradientOp : public FromSchema<Op> {
 public:
  PluginGradientOp(std::shared_ptr<const OpTable> table,
                   std::shared_ptr<const Schema> schema)
      : FromSchema(std::move(schema)), table_(std::move(table)) {}

  absl::StatusOr<Inference> Infer(
      const OpParams& params,
      absl::Span<const TensorType> inputs) const override {
    TAMER_ASSIGN_OR_RETURN(const BackwardLayout layout,
                           BackwardLayout::Of(params));
    const std::vector<TensorType> expected = Operands(layout);
    if (!std::equal(inputs.begin(), inputs.end(), expected.begin(),
                    expected.end())) {
      return Invalid("its inputs aren't those that its tamer_ fields tell of");
    }
    Inference inference;
    for (size_t i = 0; i < layout.wanted.size(); ++i) {
      const size_t n = layout.inputs.size();
      if (!layout.wanted[i]) continue;
      inference.outputs.push_back(i < n ? layout.inputs[i]
                                        : layout.variables[i - n]);
    }
    if (inference.outputs.empty()) return Invalid("no gradient is wanted");
    return inference;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    TAMER_ASSIGN_OR_RETURN(BackwardLayout layout,
                           BackwardLayout::Of(*spec.params));
    for (auto* types : {&layout.inputs, &layout.variables, &layout.outputs}) {
      for (TensorType& type : *types) type.shape = type.shape.Bind(spec.batch);
    }
    // Parameters have the same places in both tables.
    SpecView view(*table_->schema, *spec.params, layout.inputs,
                  layout.variables, layout.outputs, spec);
    (*view).direction = TAMER_BACKWARD;
    auto kernel = std::make_unique<BackwardKernel>(*table_, spec, layout);
    TAMER_RETURN_IF_ERROR(
        kernel->Init(table_->op.create, table_->op.user, *view));
    return std::unique_ptr<Kernel>(std::move(kernel));
  }

  int InPlaceInput(const OpParams& params, int output) const override {
    if (output != 0 || !table_->Has(TAMER_OP_BACKWARD_IN_PLACE)) return -1;
    const auto layout = BackwardLayout::Of(params);
    if (!layout.ok() || layout->inputs.empty() || !layout->wanted[0] ||
        !layout->flows[0]) {
      return -1;
    }
    int flowing = 0;
    for (bool flows : layout->flows) flowing += flows;
    return static_cast<int>(Operands(*layout).size()) - flowing;
  }

 private:
  std::vector<TensorType> Operands(const BackwardLayout& layout) const {
    std::vector<TensorType> types;
    if (table_->Has(TAMER_OP_BACKWARD_INPUTS)) types = layout.inputs;
    for (size_t i = 0; i < layout.variables.size(); ++i) {
      if (layout.weights[i]) types.push_back(layout.variables[i]);
    }
    if (table_->Has(TAMER_OP_BACKWARD_OUTPUTS)) {
      types.insert(types.end(), layout.outputs.begin(), layout.outputs.end());
    }
    for (size_t i = 0; i < layout.outputs.size(); ++i) {
      if (layout.flows[i]) types.push_back(layout.outputs[i]);
    }
    return types;
  }

  const std::shared_ptr<const OpTable> table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Op>> MakeGradientOp(
    std::shared_ptr<const OpTable> table) {
  const TamerOp& op = table->op;
  const std::string name = absl::StrCat(op.name, "Gradient");
  const std::string doc = absl::StrCat("The gradient of ", op.name, ".");
  TAMER_ASSIGN_OR_RETURN(
      auto schema,
      Schema::Make(name.c_str(), doc.c_str(), op.params, op.num_params,
                   {{kTypes, FieldDescriptorProto::TYPE_STRING, true, ""},
                    {kCounts, FieldDescriptorProto::TYPE_INT64, true, ""},
                    {kWanted, FieldDescriptorProto::TYPE_BOOL, true, ""},
                    {kFlows, FieldDescriptorProto::TYPE_BOOL, true, ""}}));
  return std::unique_ptr<Op>(
      std::make_unique<PluginGradientOp>(std::move(table), std::move(schema)));
}

absl::Status EmitGradientOp(const OpTable& table, const Op& gradient,
                            size_t count, const Inference& inference,
                            GradientBuilder& g) {
  BackwardLayout layout;
  std::vector<TensorType> all;
  for (int i = 0; i < g.num_inputs(); ++i) all.push_back(g.InputType(i));
  std::vector<std::string> operands;
  for (size_t i = 0; i < all.size(); ++i) {
    const int index = static_cast<int>(i);
    const bool input = i < count;
    const bool weight = !input && inference.variables[i - count].trainable;
    (input ? layout.inputs : layout.variables).push_back(all[i]);
    if (!input) layout.weights.push_back(weight);
    const bool kind = input || weight;
    layout.wanted.push_back(kind && all[i].dtype == DType::kFloat &&
                            g.Wanted(index));
    if (input ? table.Has(TAMER_OP_BACKWARD_INPUTS) : weight) {
      operands.push_back(g.Input(index));
    }
  }
  const int outputs = static_cast<int>(inference.outputs.size());
  for (int i = 0; i < outputs; ++i) {
    layout.outputs.push_back(g.OutputType(i));
    layout.flows.push_back(!g.OutputGradient(i).empty());
    if (table.Has(TAMER_OP_BACKWARD_OUTPUTS)) operands.push_back(g.Output(i));
  }
  for (int i = 0; i < outputs; ++i) {
    if (layout.flows[i]) operands.push_back(g.OutputGradient(i));
  }
  auto params = gradient.NewParams();
  // The two types have the op's own fields in common, number by number.
  if (!params->ParseFromString(g.params().SerializeAsString())) {
    return Invalid("its parameters don't fit its gradient's");
  }
  params->GetReflection()->MutableUnknownFields(params.get())->Clear();
  layout.Write(params.get());
  TAMER_ASSIGN_OR_RETURN(const std::string name,
                         g.Emit("input", *params, operands));
  int output = 0;
  for (size_t i = 0; i < layout.wanted.size(); ++i) {
    if (!layout.wanted[i]) continue;
    g.SetGradient(static_cast<int>(i),
                  output == 0 ? name : absl::StrCat(name, ":", output));
    ++output;
  }
  return absl::OkStatus();
}

}  // namespace tamer
