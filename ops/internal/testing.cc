#include "ops/internal/testing.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "core/base/random.h"
#include "core/op/gradient.h"
#include "core/op/registry.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

const OpRegistry& Registry() {
  static const OpRegistry* registry = [] {
    auto* made = new OpRegistry;
    EXPECT_TRUE(RegisterBuiltinOps(*made).ok());
    return made;
  }();
  return *registry;
}

const Op& OpOf(const OpParams& params) {
  return *Registry().FindBySchema(*params.GetDescriptor());
}

// A node's gradient run at once: what it emits is computed as it is emitted.
class EagerGradient : public GradientBuilder {
 public:
  EagerGradient(const OpParams& params, const std::vector<Value>& inputs,
                const std::vector<Value>& outputs,
                const std::vector<Value>& output_gradients,
                const std::vector<int>& wanted, int64_t batch)
      : params_(params),
        inputs_(inputs),
        outputs_(outputs),
        output_gradients_(output_gradients),
        wanted_(wanted),
        batch_(batch) {
    for (size_t i = 0; i < inputs.size(); ++i) values_[Input(i)] = inputs[i];
    for (size_t i = 0; i < outputs.size(); ++i) values_[Output(i)] = outputs[i];
    for (size_t i = 0; i < output_gradients.size(); ++i) {
      values_[absl::StrCat("gradient", i)] = output_gradients[i];
    }
  }

  const OpParams& params() const override { return params_; }
  int num_inputs() const override { return static_cast<int>(inputs_.size()); }
  std::string Input(int i) const override { return absl::StrCat("input", i); }
  TensorType InputType(int i) const override { return inputs_[i].type; }
  std::string Output(int i) const override { return absl::StrCat("output", i); }
  TensorType OutputType(int i) const override { return outputs_[i].type; }
  std::string OutputGradient(int i) const override {
    return i < output_gradients_.size() ? absl::StrCat("gradient", i) : "";
  }
  bool OutputGradientIsOne(int) const override { return false; }
  bool Wanted(int i) const override {
    return std::count(wanted_.begin(), wanted_.end(), i) > 0;
  }
  absl::StatusOr<std::string> Emit(
      const std::string& suffix, const OpParams& op,
      const std::vector<std::string>& inputs) override {
    std::vector<Value> values;
    for (const std::string& input : inputs) {
      EXPECT_EQ(values_.count(input), 1u) << input;
      values.push_back(values_[input]);
    }
    TAMER_ASSIGN_OR_RETURN(RunResult result, RunOp(op, values, 0, batch_));
    for (size_t i = 0; i < result.outputs.size(); ++i) {
      values_[i == 0 ? suffix : absl::StrCat(suffix, ":", i)] =
          result.outputs[i];
    }
    return suffix;
  }
  void SetGradient(int i, const std::string& value) override {
    EXPECT_EQ(values_.count(value), 1u) << value;
    gradients_[i] = values_[value];
  }

  const std::map<int, Value>& gradients() const { return gradients_; }

 private:
  const OpParams& params_;
  const std::vector<Value>& inputs_;
  const std::vector<Value>& outputs_;
  const std::vector<Value>& output_gradients_;
  const std::vector<int>& wanted_;
  const int64_t batch_;
  std::map<std::string, Value> values_;
  std::map<int, Value> gradients_;
};

std::vector<std::vector<double>> AsDoubles(const std::vector<Value>& values) {
  std::vector<std::vector<double>> result;
  for (const Value& value : values) {
    if (value.type.dtype == DType::kInt32) {
      result.emplace_back(value.ints.begin(), value.ints.end());
    } else if (value.type.dtype == DType::kInt8) {
      result.emplace_back(value.bytes.begin(), value.bytes.end());
    } else {
      result.emplace_back(value.floats.begin(), value.floats.end());
    }
  }
  return result;
}

void ExpectNear(const std::vector<double>& expected,
                const std::vector<float>& seen, double tolerance,
                const std::string& what) {
  ASSERT_EQ(expected.size(), seen.size()) << what;
  for (size_t i = 0; i < seen.size(); ++i) {
    ASSERT_NEAR(expected[i], seen[i],
                tolerance * std::max(1.0, std::fabs(expected[i])))
        << what << ", element " << i;
  }
}

// d sum(weights * output 0) / d input `index`, by central differences.
std::vector<double> NumericGradient(const Reference& reference,
                                    std::vector<std::vector<double>> at,
                                    int index,
                                    const std::vector<float>& weights) {
  constexpr double kStep = 1e-5;
  const auto combined = [&] {
    const std::vector<double> y = reference(at)[0];
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * weights[i];
    return sum;
  };
  std::vector<double> gradient;
  for (double& x : at[index]) {
    const double before = x;
    x = before + kStep;
    const double above = combined();
    x = before - kStep;
    const double below = combined();
    x = before;
    gradient.push_back((above - below) / (2 * kStep));
  }
  return gradient;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void CheckThreads(const OpParams& params, const std::vector<Value>& inputs,
                  int64_t batch) {
  const int before = omp_get_max_threads();
  std::vector<Value> first;
  for (int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    auto result = RunOp(params, inputs, 0, batch);
    ASSERT_TRUE(result.ok()) << result.status();
    if (threads == 1) first = result->outputs;
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(SameBits(first[i].floats, result->outputs[i].floats))
          << "output " << i << " differs between 1 and " << threads
          << " threads";
    }
  }
  omp_set_num_threads(before);
}

}  // namespace

Tensor Value::view() {
  Tensor tensor;
  tensor.dtype = type.dtype;
  tensor.shape = type.shape;
  tensor.data = type.dtype == DType::kInt32 ? static_cast<void*>(ints.data())
                : type.dtype == DType::kInt8
                    ? static_cast<void*>(bytes.data())
                    : static_cast<void*>(floats.data());
  return tensor;
}

Value Floats(std::vector<int64_t> shape, std::vector<float> values) {
  Value value;
  value.type.shape = Shape(std::move(shape));
  EXPECT_EQ(value.type.shape.elements(), values.size());
  value.floats = std::move(values);
  return value;
}

Value Ints(std::vector<int64_t> shape, std::vector<int32_t> values) {
  Value value;
  value.type = {DType::kInt32, Shape(std::move(shape))};
  value.ints = std::move(values);
  return value;
}

Value Bytes(std::vector<int64_t> shape, std::vector<int8_t> values) {
  Value value;
  value.type = {DType::kInt8, Shape(std::move(shape))};
  EXPECT_EQ(value.type.shape.elements(), values.size());
  value.bytes = std::move(values);
  return value;
}

Value Random(std::vector<int64_t> shape, uint64_t seed, float low, float high) {
  Value value;
  value.type.shape = Shape(std::move(shape));
  value.floats.resize(value.type.shape.elements());
  FillUniform(seed, 0, value.floats.size(), value.floats.data());
  for (float& x : value.floats) x = low + (high - low) * x;
  return value;
}

Value WithZeros(Value value) {
  const int64_t columns = value.type.shape.back();
  for (size_t i = 0; i < value.floats.size(); ++i) {
    const int64_t row = i / columns, column = i % columns;
    if (column % 3 != 0 || (row + column) % 7 == 0) {
      value.floats[i] = column % 5 == 0 ? -0.0f : 0.0f;
    }
  }
  return value;
}

absl::StatusOr<RunResult> RunOp(const OpParams& params,
                                std::vector<Value> inputs, uint64_t step,
                                int64_t batch, bool fixed_variables,
                                int threads) {
  const Op& op = OpOf(params);
  // Variables follow the inputs; Infer alone knows how many they are.
  std::vector<TensorType> types;
  for (const Value& input : inputs) types.push_back(input.type);
  absl::StatusOr<Inference> inferred = op.Infer(params, types);
  for (size_t own = types.size(); !inferred.ok() && own > 0; --own) {
    auto fewer = op.Infer(params, absl::MakeSpan(types).subspan(0, own - 1));
    if (fewer.ok() && fewer->variables.size() == types.size() - own + 1) {
      inferred = fewer;
    }
  }
  if (!inferred.ok()) return inferred.status();
  KernelSpec spec;
  spec.params = &params;
  spec.inputs = types;
  spec.outputs = inferred->outputs;
  spec.batch = batch;
  spec.stream_key = 77;
  spec.fixed_variables = fixed_variables;
  TAMER_ASSIGN_OR_RETURN(const auto kernel, op.Compile(spec));
  RunResult result;
  result.inputs = std::move(inputs);
  std::vector<Tensor> in, out;
  for (Value& input : result.inputs) in.push_back(input.view());
  for (const TensorType& type : inferred->outputs) {
    Value value;
    value.type = type;
    if (type.dtype == DType::kInt32) {
      value.ints.assign(type.shape.elements(), -1);
    } else {
      value.floats.assign(type.shape.elements(),
                          std::numeric_limits<float>::quiet_NaN());
    }
    result.outputs.push_back(std::move(value));
  }
  for (Value& value : result.outputs) out.push_back(value.view());
  // What stands behind its scratch is none of a kernel's business.
  constexpr int64_t kGuard = 1 << 14;
  Buffer scratch(kernel->scratch_bytes() + kGuard);
  std::memset(scratch.data(), 0xff, scratch.bytes());
  KernelArgs args;
  args.inputs = in;
  args.outputs = out;
  args.scratch = scratch.data();
  args.step = step;
  const int before = omp_get_max_threads();
  if (threads > 0) omp_set_num_threads(threads);
  const absl::Status status = kernel->Run(args);
  omp_set_num_threads(before);
  TAMER_RETURN_IF_ERROR(status);
  const char* bytes = static_cast<const char*>(scratch.data());
  const bool kept =
      std::all_of(bytes + kernel->scratch_bytes(), bytes + scratch.bytes(),
                  [](char byte) { return byte == '\xff'; });
  EXPECT_TRUE(kept) << "it wrote behind its scratch";
  return result;
}

absl::StatusOr<std::map<int, Value>> RunGradient(
    const OpParams& params, const std::vector<Value>& inputs,
    const std::vector<Value>& outputs,
    const std::vector<Value>& output_gradients, const std::vector<int>& wanted,
    int64_t batch) {
  EagerGradient gradient(params, inputs, outputs, output_gradients, wanted,
                         batch);
  TAMER_RETURN_IF_ERROR(OpOf(params).Gradient(gradient));
  return gradient.gradients();
}

std::string InferError(const OpParams& params,
                       const std::vector<TensorType>& inputs) {
  return std::string(OpOf(params).Infer(params, inputs).status().message());
}

void CheckOp(const OpParams& params, const std::vector<Value>& inputs,
             const std::vector<int>& differentiable, const Reference& reference,
             double tolerance, int64_t batch) {
  auto result = RunOp(params, inputs, 0, batch);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto at = AsDoubles(inputs);
  const auto expected = reference(at);
  for (size_t i = 0; i < expected.size(); ++i) {
    ExpectNear(expected[i], result->outputs[i].floats, tolerance,
               absl::StrCat("output ", i));
  }
  CheckThreads(params, inputs, batch);
  if (differentiable.empty()) return;
  const std::vector<int64_t> shape = result->outputs[0].type.shape.dims();
  const std::vector<Value> dy = {Random(shape, 991)};
  const auto gradients =
      RunGradient(params, inputs, result->outputs, dy, differentiable, batch);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  for (int index : differentiable) {
    ASSERT_EQ(gradients->count(index), 1u) << "input " << index;
    const Value& found = gradients->at(index);
    EXPECT_EQ(found.type.shape, inputs[index].type.shape) << "input " << index;
    ExpectNear(NumericGradient(reference, at, index, dy[0].floats),
               found.floats, tolerance, absl::StrCat("gradient ", index));
  }
}

double Activate(op::Activation activation, float slope, double x) {
  switch (activation) {
    case op::SIGMOID:
      return 1 / (1 + std::exp(-x));
    case op::TANH:
      return std::tanh(x);
    case op::RELU:
      return std::max(x, 0.0);
    case op::LEAKY_RELU:
      return x > 0 ? x : slope * x;
    case op::GELU:
      return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
    case op::LINEAR:
      break;
  }
  return x;
}

}  // namespace tamer
