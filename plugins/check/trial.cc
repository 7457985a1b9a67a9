#include "plugins/check/trial.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "core/base/random.h"

namespace tamer {
namespace {

constexpr uint64_t kStreamKey = 77;

void FillRandom(uint64_t seed, int32_t limit, FencedTensor* tensor) {
  const int64_t n = tensor->type.shape.elements();
  std::vector<float> uniform(n);
  FillUniform(seed, 0, n, uniform.data());
  const Tensor view = tensor->view();
  for (int64_t i = 0; i < n; ++i) {
    if (tensor->type.dtype == DType::kFloat) {
      view.floats()[i] = 2 * uniform[i] - 1;
    } else if (tensor->type.dtype == DType::kInt32) {
      view.ints()[i] = static_cast<int32_t>(uniform[i] * limit);
    } else {
      view.uint8s()[i] = static_cast<uint8_t>(uniform[i] * 255);
    }
  }
}

// `intact` becomes false if something was written beyond an end.
absl::Status RunKernel(Kernel& kernel, const std::vector<Tensor>& in,
                       const std::vector<FencedTensor>& outputs, bool* intact) {
  std::vector<Tensor> out;
  for (const FencedTensor& output : outputs) out.push_back(output.view());
  Fenced scratch(kernel.scratch_bytes());
  if (scratch.bytes() > 0) std::memset(scratch.data(), 0xff, scratch.bytes());
  KernelArgs args;
  args.inputs = in;
  args.outputs = out;
  args.scratch = scratch.data();
  TAMER_RETURN_IF_ERROR(kernel.Run(args));
  *intact = *intact && scratch.Intact();
  for (const FencedTensor& output : outputs) {
    *intact = *intact && output.memory->Intact();
  }
  return absl::OkStatus();
}

// A node's gradient, computed as it is emitted.
class EagerGradient : public GradientBuilder {
 public:
  EagerGradient(const Trial& trial, const std::vector<FencedTensor>& outputs,
                const FencedTensor& weights, const std::vector<int>& wanted)
      : trial_(trial), outputs_(outputs), wanted_(wanted) {
    all_ = trial.inputs;
    all_.insert(all_.end(), trial.variables.begin(), trial.variables.end());
    for (size_t i = 0; i < all_.size(); ++i) values_[Input(i)] = all_[i];
    for (size_t i = 0; i < outputs.size(); ++i) {
      values_[Output(i)] = outputs[i];
    }
    values_["weights"] = weights;
  }

  const OpParams& params() const override { return *trial_.params; }
  int num_inputs() const override { return static_cast<int>(all_.size()); }
  std::string Input(int i) const override { return absl::StrCat("input", i); }
  TensorType InputType(int i) const override { return all_[i].type; }
  std::string Output(int i) const override { return absl::StrCat("output", i); }
  TensorType OutputType(int i) const override { return outputs_[i].type; }
  std::string OutputGradient(int i) const override {
    return i == 0 ? "weights" : "";
  }
  bool OutputGradientIsOne(int) const override { return false; }
  bool Wanted(int i) const override {
    return std::count(wanted_.begin(), wanted_.end(), i) > 0;
  }

  absl::StatusOr<std::string> Emit(
      const std::string& suffix, const OpParams& params,
      const std::vector<std::string>& inputs) override {
    const Op* op = trial_.registry->FindBySchema(*params.GetDescriptor());
    std::vector<TensorType> types;
    std::vector<Tensor> in;
    std::vector<FencedTensor> keep;
    for (const std::string& name : inputs) {
      const auto it = values_.find(name);
      if (it == values_.end()) {
        return Invalid("its gradient reads \"", name, "\", which isn't there");
      }
      types.push_back(it->second.type);
      keep.push_back(it->second.Copy());
      in.push_back(keep.back().view());
    }
    TAMER_ASSIGN_OR_RETURN(const Inference inferred, op->Infer(params, types));
    KernelSpec spec;
    spec.params = &params;
    spec.inputs = types;
    spec.outputs = inferred.outputs;
    spec.batch = trial_.batch;
    spec.stream_key = kStreamKey;
    spec.node = "check";
    TAMER_ASSIGN_OR_RETURN(const auto kernel, op->Compile(spec));
    std::vector<FencedTensor> outputs;
    for (const TensorType& type : inferred.outputs) {
      outputs.emplace_back(type);
      outputs.back().Fill(0xff);
    }
    bool intact = true;
    TAMER_RETURN_IF_ERROR(RunKernel(*kernel, in, outputs, &intact));
    if (!intact) return Invalid("its gradient writes beyond the end");
    const std::string name = absl::StrCat(suffix, "#", emitted_++);
    for (size_t i = 0; i < outputs.size(); ++i) {
      values_[i == 0 ? name : absl::StrCat(name, ":", i)] = outputs[i];
    }
    return name;
  }

  void SetGradient(int i, const std::string& value) override {
    if (values_.count(value) > 0) gradients[i] = values_[value];
  }

  std::map<int, FencedTensor> gradients;

 private:
  const Trial& trial_;
  const std::vector<FencedTensor>& outputs_;
  const std::vector<int>& wanted_;
  std::vector<FencedTensor> all_;
  std::map<std::string, FencedTensor> values_;
  int emitted_ = 0;
};

}  // namespace

absl::StatusOr<Trial> Trial::Make(const OpRegistry& registry, const Op& op,
                                  std::shared_ptr<const OpParams> params,
                                  const std::vector<TensorType>& types,
                                  int64_t batch, int32_t limit, uint64_t seed) {
  Trial trial;
  trial.registry = &registry;
  trial.op = &op;
  trial.params = std::move(params);
  trial.batch = batch;
  TAMER_ASSIGN_OR_RETURN(trial.inference, op.Infer(*trial.params, types));
  for (TensorType& type : trial.inference.outputs) {
    type.shape = type.shape.Bind(batch);
  }
  for (const TensorType& type : types) {
    trial.inputs.emplace_back(TensorType{type.dtype, type.shape.Bind(batch)});
    FillRandom(++seed, limit, &trial.inputs.back());
  }
  for (const VariableSpec& variable : trial.inference.variables) {
    trial.variables.emplace_back(variable.type);
    FillRandom(++seed, 1, &trial.variables.back());
  }
  return trial;
}

std::string Trial::ToString() const {
  return absl::StrJoin(inputs, " ", [](std::string* out, const auto& input) {
    out->append(input.type.shape.ToString());
  });
}

absl::StatusOr<std::unique_ptr<Kernel>> Trial::Compile() const {
  KernelSpec spec;
  spec.params = params.get();
  for (const auto* group : {&inputs, &variables}) {
    for (const FencedTensor& tensor : *group)
      spec.inputs.push_back(tensor.type);
  }
  spec.outputs = inference.outputs;
  spec.batch = batch;
  spec.stream_key = kStreamKey;
  spec.node = "check";
  return op->Compile(spec);
}

absl::StatusOr<TrialRun> RunTrial(const Trial& trial, Kernel& kernel, int fill,
                                  bool in_place) {
  TrialRun run;
  std::vector<Tensor> in;
  for (const FencedTensor& input : trial.inputs) {
    run.inputs.push_back(input.Copy());
    in.push_back(run.inputs.back().view());
  }
  for (const FencedTensor& variable : trial.variables) {
    run.variables.push_back(variable.Copy());
    in.push_back(run.variables.back().view());
  }
  for (const TensorType& type : trial.inference.outputs) {
    if (in_place && run.outputs.empty()) {
      run.outputs.push_back(run.inputs[0]);
      continue;
    }
    run.outputs.emplace_back(type);
    run.outputs.back().Fill(fill);
  }
  TAMER_RETURN_IF_ERROR(RunKernel(kernel, in, run.outputs, &run.intact));
  for (const auto* group : {&run.inputs, &run.variables}) {
    for (const FencedTensor& tensor : *group) {
      run.intact = run.intact && tensor.memory->Intact();
    }
  }
  return run;
}

absl::StatusOr<std::map<int, FencedTensor>> TrialGradient(
    const Trial& trial, const std::vector<FencedTensor>& outputs,
    const FencedTensor& weights, const std::vector<int>& wanted) {
  EagerGradient gradient(trial, outputs, weights, wanted);
  TAMER_RETURN_IF_ERROR(trial.op->Gradient(gradient));
  return std::move(gradient.gradients);
}

}  // namespace tamer
