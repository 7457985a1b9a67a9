// Writes ops and networks as ONNX, with what they answer here, for comparison
// with another runtime; and reads them again.
//
//   onnx_runner --list                 op names: "+ Dense", "- Sgd reason"
//   onnx_runner ops FOLDER…            the case in each folder
//   onnx_runner network FILE FOLDER    a network, with initial parameters
//   onnx_runner int8 FILE FOLDER       the same in 8-bit integers
//
// A case's folder holds `op` and `input0`, … as for op_runner. Written are
// model.onnx, `feed0`, … (the model's inputs), `expected0`, … (its outputs);
// `imported`, the largest difference (relative, where above 1) of what the
// model answers when it is read again, or why it can't be read; or `error`.

#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>

#include "core/graph/text.h"
#include "core/interchange/onnx.h"
#include "core/interchange/onnx_writer.h"
#include "core/passes/passes.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "ops/builtin.h"
#include "tests/conformance/op_case.h"
#include "tests/conformance/tensor_file.h"

namespace tamer {
namespace {

using Values = std::vector<StoredTensor>;

// A network, its parameters, and what it is fed.
struct Trial {
  Graph graph;
  Variables variables;
  Values feeds;
  int64_t batch = 1;

  explicit Trial(const OpRegistry* registry) : graph(registry) {}
};

absl::StatusOr<Values> Answers(const Graph& graph, int64_t batch, Values feeds,
                               Variables* variables) {
  PlanOptions options;
  options.batch = batch;
  TAMER_ASSIGN_OR_RETURN(auto plan, Plan::Compile(graph, options, variables));
  if (feeds.size() < graph.inputs().size()) return Invalid("too few inputs");
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const int input = plan->FindInput(graph.value(graph.inputs()[i]).name);
    if (input >= 0) plan->BindInput(input, feeds[i].view().data);
  }
  Scheduler scheduler{ThreadOptions()};
  TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, 0));
  Values answers;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const Tensor& tensor = plan->output(static_cast<int>(i));
    StoredTensor value;
    value.type = {tensor.dtype, tensor.shape};
    if (tensor.dtype == DType::kInt32) {
      value.ints.assign(tensor.ints(), tensor.ints() + tensor.elements());
    } else {
      value.floats.assign(tensor.floats(), tensor.floats() + tensor.elements());
    }
    answers.push_back(value);
  }
  return answers;
}

double Difference(const Values& expected, const Values& seen) {
  double worst = expected.size() == seen.size() ? 0 : HUGE_VAL;
  for (size_t i = 0; i < std::min(expected.size(), seen.size()); ++i) {
    if (expected[i].type != seen[i].type) return HUGE_VAL;
    if (expected[i].ints != seen[i].ints) return HUGE_VAL;
    for (size_t k = 0; k < expected[i].floats.size(); ++k) {
      const double e = expected[i].floats[k], s = seen[i].floats[k];
      if (e == s) continue;
      const double distance = std::fabs(e - s) / std::fmax(1, std::fabs(e));
      worst = distance > worst || std::isnan(distance) ? distance : worst;
    }
  }
  return worst;
}

// What reading the model again gives: a number, or why not.
std::string Imported(const std::string& path, const Trial& trial,
                     const Values& expected, const OpRegistry& registry) {
  auto model = ReadOnnx(path, registry, /*first_is_batch=*/false);
  if (!model.ok()) return std::string(model.status().message());
  const auto network = Infer(model->network);
  if (!network.ok()) return std::string(network.status().message());
  const auto seen =
      Answers(*network, trial.batch, trial.feeds, &model->variables);
  if (!seen.ok()) return std::string(seen.status().message());
  return absl::StrCat(Difference(expected, *seen));
}

absl::Status Report(const std::string& folder, Trial& trial,
                    const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(trial.graph, Infer(trial.graph));
  TAMER_ASSIGN_OR_RETURN(
      Values expected,
      Answers(trial.graph, trial.batch, trial.feeds, &trial.variables));
  const std::string path = folder + "/model.onnx";
  TAMER_RETURN_IF_ERROR(
      WriteOnnx(path, trial.graph, trial.variables, {{"tamer.test", "yes"}}));
  for (size_t i = 0; i < trial.graph.inputs().size(); ++i) {
    WriteTensorFile(absl::StrCat(folder, "/feed", i), trial.feeds[i].view());
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    WriteTensorFile(absl::StrCat(folder, "/expected", i), expected[i].view());
  }
  std::ofstream(folder + "/imported")
      << Imported(path, trial, expected, registry);
  return absl::OkStatus();
}

// Builds one node of the first `count` of `all`, the others being its
// variables' values; batched are inputs of rank `rank` or more that have the
// batch's size first.
absl::Status Build(const OpParams& params, const Values& all, size_t count,
                   int rank, Trial* trial) {
  int widest = 0;
  for (size_t i = 0; i < count; ++i) {
    const Shape& shape = all[i].type.shape;
    if (shape.rank() > widest) trial->batch = shape.dim(0);
    widest = std::max(widest, shape.rank());
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    TensorType type = all[i].type;
    if (type.shape.rank() >= rank && type.shape.dim(0) == trial->batch) {
      type.shape.set_dim(0, Shape::kBatch);
    }
    names.push_back(absl::StrCat("in", i));
    TAMER_RETURN_IF_ERROR(trial->graph.AddInput(names.back(), type).status());
    trial->feeds.push_back(all[i]);
  }
  TAMER_ASSIGN_OR_RETURN(const NodeId id,
                         trial->graph.AddNode("node", params, names));
  const Node& node = trial->graph.node(id);
  if (node.variables.size() != all.size() - count) {
    return Invalid("another number of variables");
  }
  for (size_t i = 0; i < node.variables.size(); ++i) {
    const StoredTensor& found = all[count + i];
    const Value& variable = trial->graph.value(node.variables[i]);
    if (variable.type != found.type || variable.type.dtype != DType::kFloat) {
      return Invalid("another variable");
    }
    TAMER_ASSIGN_OR_RETURN(const Tensor tensor,
                           trial->variables.Add(variable.name, variable.type));
    std::memcpy(tensor.data, found.floats.data(), tensor.bytes());
  }
  return trial->graph.AddOutput(trial->graph.value(node.outputs[0]).name);
}

absl::Status RunCase(const std::string& folder, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const std::unique_ptr<OpParams> params,
                         ReadOpCase(folder, registry));
  const Values all = ReadTensorFiles(folder + "/input");
  std::string why;
  // Batched as far as the op takes it: all inputs, those of the first one's
  // rank, or none.
  const int first = all.empty() ? 1 : std::max(1, all[0].type.shape.rank());
  for (int rank : {1, first, 100}) {
    for (size_t count = all.size(); count > 0; --count) {
      Trial trial(&registry);
      absl::Status status = Build(*params, all, count, rank, &trial);
      if (status.ok()) status = Report(folder, trial, registry);
      if (status.ok() || absl::IsUnimplemented(status)) return status;
      absl::StrAppend(&why, why.empty() ? "" : "; ", status.message());
    }
  }
  return Invalid(why);
}

// Numbers for an input that any network takes: from 0 to 1, or small tokens.
StoredTensor Feed(const TensorType& type, int64_t batch) {
  StoredTensor feed;
  feed.type = {type.dtype, type.shape.Bind(batch)};
  for (int64_t i = 0; i < feed.type.shape.elements(); ++i) {
    if (type.dtype == DType::kFloat) {
      feed.floats.push_back(static_cast<float>(i * 37 % 101) / 101);
    } else {
      feed.ints.push_back(static_cast<int32_t>((7 * i * i + i / 5) % 10));
    }
  }
  return feed;
}

// The network in bytes, as `tamer export --int8` makes it.
absl::Status ToInt8(Trial* trial) {
  std::map<std::string, InputRange> ranges;
  for (const std::string& node : Quantizable(trial->graph)) {
    ranges[node] = {0, 1};
  }
  TAMER_ASSIGN_OR_RETURN(Graph quantized, Quantize(trial->graph, ranges));
  Variables variables;
  TAMER_RETURN_IF_ERROR(variables.AddMissing(quantized, 1));
  for (ValueId id : quantized.variables()) {
    const std::string& name = quantized.value(id).name;
    const Tensor to = *variables.Find(name);
    const Tensor* from = trial->variables.Find(name);
    if (to.dtype == DType::kInt8) {
      TAMER_RETURN_IF_ERROR(
          QuantizeWeight(*from, to, *variables.Find(name + "_scale")));
    } else if (from != nullptr) {
      std::memcpy(to.data, from->data, to.bytes());
    }
  }
  trial->graph = std::move(quantized);
  trial->variables = std::move(variables);
  return absl::OkStatus();
}

absl::Status RunNetwork(const std::string& file, const std::string& folder,
                        bool int8, const OpRegistry& registry) {
  Trial trial(&registry);
  TAMER_ASSIGN_OR_RETURN(trial.graph, LoadGraph(file, &registry));
  trial.batch = 3;
  TAMER_RETURN_IF_ERROR(trial.variables.AddMissing(trial.graph, 1));
  for (ValueId id : trial.graph.inputs()) {
    trial.feeds.push_back(Feed(trial.graph.value(id).type, trial.batch));
  }
  if (int8) TAMER_RETURN_IF_ERROR(ToInt8(&trial));
  return Report(folder, trial, registry);
}

int Main(int argc, char** argv) {
  OpRegistry registry;
  const absl::Status registered = RegisterBuiltinOps(registry);
  const std::string what = argc < 2 ? "" : argv[1];
  if (!registered.ok() || ((what == "network" || what == "int8") && argc != 4))
    return 2;
  if (what == "--list") {
    for (const std::string& name : registry.Names()) {
      std::cout << (HasOnnxCounterpart(name) ? "+ " : "- ") << name << " "
                << (HasOnnxCounterpart(name) ? "" : WhyNotInOnnx(name)) << "\n";
    }
  } else if (what == "ops") {
    for (int i = 2; i < argc; ++i) {
      const std::string folder = argv[i];
      const absl::Status status = RunCase(folder, registry);
      if (!status.ok()) std::ofstream(folder + "/error") << status.message();
    }
  } else if (what == "network" || what == "int8") {
    const absl::Status status =
        RunNetwork(argv[2], argv[3], what == "int8", registry);
    if (!status.ok()) {
      std::ofstream(std::string(argv[3]) + "/error") << status.message();
    }
  } else {
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace tamer

int main(int argc, char** argv) { return tamer::Main(argc, argv); }
