#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "core/interchange/onnx.h"
#include "core/interchange/onnx_read_tables.h"
#include "core/passes/copy.h"

namespace tamer {
namespace {

// The newest version of operators whose meaning is known here.
constexpr int64_t kNewestOpset = 21;
constexpr int64_t kOldestOpset = 9;

// Where a value is made and who reads it.
class Uses {
 public:
  explicit Uses(const onnx::GraphProto& graph) {
    for (const auto& tensor : graph.initializer()) {
      if (tensor.dims_size() == 0) Note(tensor.name(), tensor);
    }
    for (int i = 0; i < graph.node_size(); ++i) {
      const onnx::NodeProto& node = graph.node(i);
      for (const std::string& input : node.input()) ++readers_[input];
      for (const std::string& output : node.output()) makers_[output] = i;
      for (const auto& attribute : node.attribute()) {
        if (node.op_type() == "Constant" && attribute.has_t()) {
          Note(node.output(0), attribute.t());
        }
      }
    }
    for (const auto& output : graph.output()) ++readers_[output.name()];
  }

  // The node that makes a value which one node alone reads; -1 if there is
  // none.
  int Maker(const std::string& value) const {
    const auto found = makers_.find(value);
    return found == makers_.end() || readers_.at(value) != 1 ? -1
                                                             : found->second;
  }
  bool Is(const std::string& value, double number) const {
    const auto found = scalars_.find(value);
    return found != scalars_.end() && std::fabs(found->second - number) < 1e-4;
  }

 private:
  void Note(const std::string& name, const onnx::TensorProto& tensor) {
    const auto constant = ConstantOf(tensor);
    if (constant.ok() && constant->floats.size() == 1) {
      scalars_[name] = static_cast<double>(constant->floats[0]);
    }
  }
  std::map<std::string, int> makers_, readers_;
  std::map<std::string, double> scalars_;
};

// The operands of a node of that kind, either way round.
using Pair = std::pair<std::string, std::string>;
std::vector<Pair> Operands(const onnx::NodeProto& node, const char* op) {
  if (node.op_type() != op || node.input_size() != 2) return {};
  return {{node.input(0), node.input(1)}, {node.input(1), node.input(0)}};
}

// x, if the node is x * (1 + erf(x / sqrt 2)); `nodes` gets those it is made
// of.
std::string TwiceGelu(const onnx::GraphProto& graph, const Uses& uses, int at,
                      std::set<int>* nodes) {
  for (const Pair& product : Operands(graph.node(at), "Mul")) {
    const int sum = uses.Maker(product.second);
    if (sum < 0) continue;
    for (const Pair& terms : Operands(graph.node(sum), "Add")) {
      const int erf = uses.Maker(terms.first);
      if (erf < 0 || !uses.Is(terms.second, 1) ||
          graph.node(erf).op_type() != "Erf" ||
          graph.node(erf).input_size() != 1) {
        continue;
      }
      const int scaled = uses.Maker(graph.node(erf).input(0));
      if (scaled < 0) continue;
      const onnx::NodeProto& scale = graph.node(scaled);
      if (scale.input_size() != 2 || scale.input(0) != product.first ||
          !((scale.op_type() == "Div" && uses.Is(scale.input(1), M_SQRT2)) ||
            (scale.op_type() == "Mul" && uses.Is(scale.input(1), M_SQRT1_2)))) {
        continue;
      }
      nodes->insert({at, sum, erf, scaled});
      return product.first;
    }
  }
  return "";
}

absl::Status ReadInto(const onnx::ModelProto& model, bool first_is_batch,
                      OnnxModel* result) {
  int64_t opset = 0;
  for (const auto& import : model.opset_import()) {
    if (import.domain().empty() || import.domain() == "ai.onnx") {
      opset = import.version();
    }
  }
  if (opset < kOldestOpset || opset > kNewestOpset) {
    return Invalid("its operators are of version ", opset, "; versions ",
                   kOldestOpset, " to ", kNewestOpset, " are read");
  }
  for (const onnx::NodeProto& node : model.graph().node()) {
    if (node.output_size() > 0 && !node.output(0).empty()) continue;
    return Invalid("node \"", node.name(), "\" has no result");
  }
  onnx::GraphProto graph = model.graph();
  RecogniseGelu(&graph);
  OnnxReader reader(graph, opset, &result->network, &result->variables);
  TAMER_RETURN_IF_ERROR(reader.Begin(first_is_batch));
  TAMER_RETURN_IF_ERROR(reader.ReadAll());
  for (const auto& fact : model.metadata_props()) {
    result->facts[fact.key()] = fact.value();
  }
  // Without what was read on the way and is not needed.
  std::vector<std::string> outputs;
  TAMER_ASSIGN_OR_RETURN(
      Graph needed, CopyNeeded(result->network, OutputNames(result->network),
                               CopyOptions(), &outputs));
  for (const std::string& output : outputs) {
    TAMER_RETURN_IF_ERROR(needed.AddOutput(output));
  }
  result->network = std::move(needed);
  return absl::OkStatus();
}

}  // namespace

void RecogniseGelu(onnx::GraphProto* graph) {
  const Uses uses(*graph);
  std::map<int, std::string> gelus;  // the last node, and its argument
  std::set<int> gone;
  for (int i = 0; i < graph->node_size(); ++i) {
    for (const Pair& halves : Operands(graph->node(i), "Mul")) {
      const int product = uses.Maker(halves.first);
      if (product < 0 || !uses.Is(halves.second, 0.5)) continue;
      const std::string x = TwiceGelu(*graph, uses, product, &gone);
      if (!x.empty()) gelus[i] = x;
    }
  }
  onnx::GraphProto kept = *graph;
  kept.clear_node();
  for (int i = 0; i < graph->node_size(); ++i) {
    if (gone.count(i) > 0) continue;
    onnx::NodeProto* node = kept.add_node();
    *node = graph->node(i);
    const auto gelu = gelus.find(i);
    if (gelu == gelus.end()) continue;
    node->set_op_type("Gelu");
    node->clear_input();
    node->add_input(gelu->second);
  }
  graph->mutable_node()->Swap(kept.mutable_node());
}

absl::StatusOr<OnnxModel> ReadOnnx(const std::string& path,
                                   const OpRegistry& registry,
                                   bool first_is_batch) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  onnx::ModelProto model;
  if (!model.ParseFromIstream(&in) || !model.has_graph()) {
    return Invalid(path, ": this is no ONNX model, or it is damaged");
  }
  OnnxModel result(&registry);
  const std::string& name = model.graph().name();
  result.network.set_name(name.empty() ? "imported" : name);
  TAMER_RETURN_IF_ERROR(
      Annotate(ReadInto(model, first_is_batch, &result), path));
  return result;
}

}  // namespace tamer
