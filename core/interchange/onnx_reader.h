#ifndef TAMER_CORE_INTERCHANGE_ONNX_READER_H_
#define TAMER_CORE_INTERCHANGE_ONNX_READER_H_

#include <onnx/onnx_pb.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/interchange/onnx_values.h"
#include "core/plan/variables.h"
#include "proto/ops/dense.pb.h"

// How an operator of ONNX becomes nodes here: a function for each, in the
// tables of onnx_read_*.cc. It reads the node that stands before the reader and
// says what its results are:
//
//   void Elu(OnnxReader& r) {
//     op::Elu elu;
//     elu.set_alpha(r.Float("alpha", 1));
//     r.Result(r.Add(elu, {r.In(0)}));
//   }

namespace tamer {

class OnnxReader {
 public:
  OnnxReader(const onnx::GraphProto& model, int64_t opset, Graph* graph,
             Variables* variables);

  // Inputs and initializers; see ReadOnnx for `first_is_batch`.
  absl::Status Begin(bool first_is_batch);
  // All nodes and outputs.
  absl::Status ReadAll();

  // For the functions, of the node that is being read.

  const onnx::NodeProto& node() const { return *node_; }
  int64_t opset() const { return opset_; }
  bool Has(int i) const {
    return i < node_->input_size() && !node_->input(i).empty();
  }
  int64_t Int(const char* attribute, int64_t otherwise) const;
  float Float(const char* attribute, float otherwise) const;
  std::string Text(const char* attribute, const std::string& otherwise) const;
  std::vector<int64_t> Ints(const char* attribute) const;
  const onnx::AttributeProto* Attribute(const char* name) const;
  // Numbers of input `i` if it is given, else of the attribute.
  std::vector<int64_t> Ints(int i, const char* attribute);

  // An axis counted from 0 on, of so many.
  int Axis(int64_t axis, int rank);

  const OnnxValue& Value(int i);
  // Null if the input is no constant, or not given.
  const OnnxConstant* Constant(int i);
  const OnnxConstant* Find(const std::string& value) const;
  // A FLOAT constant of one element, else false.
  bool Scalar(int i, float* value);
  // The constant as a layer's weight, an error if it is none; FLOAT, and of so
  // many dimensions if `rank` is not 0.
  const OnnxConstant* Weight(int i, int rank = 0);
  // As the model sees it; the batch is negative.
  Shape Dims(int i);
  // The name of a value with these dimensions in the graph. Constants become
  // parameters, views are laid out.
  std::string In(int i);

  // Adds a node with an op's parameters and returns its name; its variables get
  // `weights`, in their order (which may be shorter: the rest keep their
  // initial values). By default named by the result, or with `part` behind.
  std::string Add(const OpParams& params,
                  const std::vector<std::string>& inputs,
                  const std::vector<std::vector<float>>& weights = {},
                  const std::string& part = "");
  // The same, with variables that the model may use again: of initializer
  // `owner`, the first one, with its dimensions swapped if `transposed`. If an
  // earlier node has it, that one's variables are shared.
  std::string AddLayer(const OpParams& params,
                       const std::vector<std::string>& inputs,
                       const std::vector<std::vector<float>>& weights,
                       const OnnxConstant& owner, bool transposed = false);
  // Whether a node owns that initializer already, and as which variable.
  struct Owned {
    std::string variable, node;
    bool transposed = false;
  };
  const Owned* FindOwner(const OnnxConstant& constant) const;

  // Of values and nodes of the graph.
  Shape ShapeOf(const std::string& name) const;
  DType TypeOf(const std::string& name) const;
  std::string OpOf(const std::string& node) const;
  // The value with its dimensions in that order.
  std::string LaidOut(const std::string& x, const std::vector<int>& view);
  // A layout of the same elements, of this shape ([B, ...], or without B).
  std::string Reshape(const std::string& x, const Shape& shape,
                      const std::string& part = "");

  // What the node's results are.
  void Result(const std::string& name, int output = 0,
              std::vector<int> view = {});
  void Result(OnnxConstant constant, int output = 0);
  void Result(const OnnxValue& value, int output = 0);
  bool Used(int output) const;

  // The only node that reads this node's (or the last taken one's) result, if
  // there is just one; Take() makes its result this node's.
  const onnx::NodeProto* Next() const;
  void Take();

  // The activation that the next node is, taken, if layers have it; else
  // LINEAR.
  op::Activation TakeActivation(bool gelu);

  void Fail(const std::string& text);
  bool ok() const { return status_.ok(); }

 private:
  absl::Status ReadNode(const onnx::NodeProto& node);
  absl::Status AddInputs(bool first_is_batch);
  std::string NewName(const std::string& wanted);
  std::string Materialize(const std::string& value);
  std::string AddParameter(const OnnxConstant& constant,
                           const std::string& name, OnnxValue* value);

  const onnx::GraphProto& model_;
  const int64_t opset_;
  Graph* graph_;
  Variables* variables_;
  const onnx::NodeProto* node_ = nullptr;
  std::string result_;  // name of the node's first result, or the taken one's
  std::map<std::string, OnnxValue> values_;
  std::map<std::string, std::vector<const onnx::NodeProto*>> readers_;
  std::set<const onnx::NodeProto*> taken_;
  std::map<std::string, Owned> owners_;
  std::set<std::string> names_, outputs_;
  absl::Status status_;
};

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_ONNX_READER_H_
