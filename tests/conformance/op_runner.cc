// Runs single ops on tensors in files, forward and backward by the op's own
// Gradient, for comparison with another implementation.
//
//   op_runner --list             names of all built-in ops
//   op_runner FOLDER…            runs the case in each folder
//
// A folder holds `op` (a line with its name, then its parameters as text),
// `input0`, `input1`, … (inputs, then variables), and for a backward run
// `wanted` (indices of inputs) and `dy0`, … (gradients of the first outputs).
// Written are `output0`, … and `gradientI` for each I wanted; or `error`.

#include <cstring>
#include <fstream>
#include <iostream>

#include "core/op/registry.h"
#include "ops/builtin.h"
#include "ops/internal/testing.h"
#include "tests/conformance/op_case.h"
#include "tests/conformance/tensor_file.h"

namespace tamer {
namespace {

std::vector<Value> ReadValues(const std::string& prefix) {
  std::vector<Value> values;
  for (const StoredTensor& tensor : ReadTensorFiles(prefix)) {
    const std::vector<int64_t>& dims = tensor.type.shape.dims();
    values.push_back(tensor.type.dtype == DType::kInt32
                         ? Ints(dims, tensor.ints)
                         : Floats(dims, tensor.floats));
  }
  return values;
}

absl::Status RunCase(const std::string& folder, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const std::unique_ptr<OpParams> params,
                         ReadOpCase(folder, registry));
  const std::vector<Value> inputs = ReadValues(folder + "/input");
  const bool batched = !inputs.empty() && inputs[0].type.shape.rank() > 0;
  const int64_t batch = batched ? inputs[0].type.shape.dim(0) : 1;
  TAMER_ASSIGN_OR_RETURN(const RunResult result,
                         RunOp(*params, inputs, 0, batch));
  for (size_t i = 0; i < result.outputs.size(); ++i) {
    Value output = result.outputs[i];
    WriteTensorFile(absl::StrCat(folder, "/output", i), output.view());
  }
  std::vector<int> wanted;
  std::ifstream in(folder + "/wanted");
  for (int index; in >> index;) wanted.push_back(index);
  if (wanted.empty()) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(
      const auto gradients,
      RunGradient(*params, inputs, result.outputs, ReadValues(folder + "/dy"),
                  wanted, batch));
  for (const auto& gradient : gradients) {
    Value value = gradient.second;
    WriteTensorFile(absl::StrCat(folder, "/gradient", gradient.first),
                    value.view());
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  OpRegistry registry;
  const absl::Status registered = RegisterBuiltinOps(registry);
  if (!registered.ok() || argc < 2) {
    std::cerr << "usage: op_runner --list | FOLDER…\n" << registered << "\n";
    return 2;
  }
  if (std::strcmp(argv[1], "--list") == 0) {
    for (const std::string& name : registry.Names()) std::cout << name << "\n";
    return 0;
  }
  for (int i = 1; i < argc; ++i) {
    const std::string folder = argv[i];
    const absl::Status status = RunCase(folder, registry);
    if (!status.ok()) std::ofstream(folder + "/error") << status.message();
  }
  return 0;
}

}  // namespace
}  // namespace tamer

int main(int argc, char** argv) { return tamer::Main(argc, argv); }
