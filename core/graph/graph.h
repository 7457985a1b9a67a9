#ifndef TAMER_CORE_GRAPH_GRAPH_H_
#define TAMER_CORE_GRAPH_GRAPH_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/op/op.h"
#include "core/op/registry.h"
#include "proto/graph.pb.h"

namespace tamer {

// What stands before the name of a node whose work is done a second time. Its
// random numbers are those of the first.
inline constexpr char kRecomputed[] = "recompute/";

// The name that a node's random stream goes by.
std::string StreamName(const std::string& node);

// Where in a graph's text something stands, for messages; line 0: nowhere.
struct SourceLocation {
  std::string file;
  int line = 0;
  int column = 0;
  // "net.pbtxt:12:3: ", or "" for what a pass made.
  std::string Prefix() const;
};

// Where the parts of a GraphDef stand, parallel to its fields; what is missing
// stands nowhere.
struct GraphLocations {
  std::string file;
  std::vector<SourceLocation> inputs, nodes, outputs;
};

using ValueId = int;
using NodeId = int;

// Something that nodes read: a graph input, a node's output, or a variable.
struct Value {
  enum Kind { kInput, kOutput, kVariable };
  Kind kind = kInput;
  // "pixels", "h1", "h1:1", "h1/weight".
  std::string name;
  TensorType type;
  // The node that computes or owns it; -1 for an input.
  NodeId node = -1;
  // Which output or variable of that node.
  int index = 0;
};

struct Node {
  std::string name;
  const Op* op = nullptr;  // owned by the registry
  std::shared_ptr<const OpParams> params;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  // Its own variables, or those of the node named by `share_with`.
  std::vector<ValueId> variables;
  std::vector<VariableSpec> variable_specs;
  std::string share_with;
  SourceLocation location;

  // Inputs, then variables: the order that kernels and gradients see.
  std::vector<ValueId> AllInputs() const;
  // Indices into these of the variables that a run changes.
  std::vector<int> Mutates() const;
};

// A checked network: every name resolved, every shape inferred, nodes in an
// order in which each comes after what it reads. Copyable; passes copy and
// extend it. The registry it was made with must outlive it.
class Graph {
 public:
  explicit Graph(const OpRegistry* registry) : registry_(registry) {}

  // Checks `def` (its includes and blocks already expanded, see text.h) and
  // infers shapes. Every error found is reported, one a line.
  static absl::StatusOr<Graph> FromDef(const GraphDef& def,
                                       const OpRegistry* registry,
                                       const GraphLocations& locations = {});

  // The same graph as a message; FromDef gives it back.
  GraphDef ToDef() const;

  // Building. After an error the graph is only good for more error messages.
  // The shape given to AddInput is whole: [B, 784].
  absl::StatusOr<ValueId> AddInput(const std::string& name,
                                   const TensorType& type);
  // `inputs` are value names that exist already.
  absl::StatusOr<NodeId> AddNode(const std::string& name,
                                 const OpParams& params,
                                 const std::vector<std::string>& inputs,
                                 const std::string& share_with = "",
                                 SourceLocation location = {});
  // Makes a value one of the graph's results. Adding it again changes nothing.
  absl::Status AddOutput(const std::string& value);
  void ClearOutputs() { outputs_.clear(); }
  void set_name(const std::string& name) { name_ = name; }

  // The value or node of that name, or -1.
  ValueId FindValue(const std::string& name) const;
  NodeId FindNode(const std::string& name) const;

  const std::string& name() const { return name_; }
  const OpRegistry& registry() const { return *registry_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  const Value& value(ValueId id) const { return values_[id]; }
  // What the owner said of a variable.
  const VariableSpec& variable_spec(ValueId id) const;
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  // All variables, in the order of their owners.
  const std::vector<ValueId>& variables() const { return variables_; }

 private:
  absl::StatusOr<ValueId> AddValue(Value value);
  // AddNode's parts, in their order.
  absl::Status InferNode(const OpParams& params,
                         const std::vector<std::string>& inputs, Node* node,
                         Inference* inferred) const;
  absl::Status AddOwnValues(NodeId id, const Inference& inferred, Node* node);
  absl::Status CheckMutations(const Node& node) const;

  const OpRegistry* registry_;
  std::string name_;
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<ValueId> inputs_, outputs_, variables_;
  std::unordered_map<std::string, ValueId> value_ids_;
  std::unordered_map<std::string, NodeId> node_ids_;
};

// What `node` of `graph` is for a kernel once the batch is known; without a
// random stream's key.
KernelSpec BoundSpec(const Graph& graph, const Node& node, int64_t batch);

}  // namespace tamer

#endif  // TAMER_CORE_GRAPH_GRAPH_H_
