#ifndef TAMER_CORE_INTERCHANGE_ONNX_WRITER_H_
#define TAMER_CORE_INTERCHANGE_ONNX_WRITER_H_

#include <onnx/onnx_pb.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/graph/graph.h"
#include "core/plan/variables.h"
#include "proto/ops/dense.pb.h"

// How an op becomes nodes of ONNX: a function for each, in the tables of
// onnx_write_*.cc. It reads the node that stands before the writer, emits, and
// names its results:
//
//   std::vector<std::string> Scale(OnnxWriter& w) {
//     return {w.Emit("Mul", {w.In(0), w.Scalar(w.Op<op::Scale>().factor())})};
//   }

namespace tamer {

// The version of ONNX's operators that is written.
inline constexpr int kOnnxOpset = 17;

struct OnnxAttribute {
  const char* name;
  std::variant<int64_t, float, std::string, std::vector<int64_t>,
               std::vector<std::string>>
      value;
};

class OnnxWriter {
 public:
  // All three must outlive the writer.
  OnnxWriter(const Graph& graph, const Variables& variables,
             onnx::GraphProto* proto)
      : graph_(graph), variables_(variables), proto_(proto) {}

  // Writes a node by its op's function; its results then bear their own names.
  absl::Status Write(const Node& node);

  // For the functions, of the node that is being written.

  template <typename Params>
  const Params& Op() const {
    return static_cast<const Params&>(*node_->params);
  }
  const Node& node() const { return *node_; }
  // Inputs, then variables.
  int inputs() const { return static_cast<int>(all_inputs_.size()); }
  const std::string& In(int i) { return Read(all_inputs_[i]); }
  const Shape& InShape(int i) const {
    return graph_.value(all_inputs_[i]).type.shape;
  }
  const Shape& OutShape(int i = 0) const {
    return graph_.value(node_->outputs[i]).type.shape;
  }
  // A variable's numbers; null, with an error, where they are of another type.
  const float* Numbers(int i);
  const Tensor* Int8Tensor(int i);

  // Appends a node and returns its first result's name; the second, where it
  // has `outputs` > 1, is that with ":1" behind.
  std::string Emit(const std::string& op, const std::vector<std::string>& in,
                   const std::vector<OnnxAttribute>& attributes = {},
                   int outputs = 1);
  // Constants, and their names.
  std::string Scalar(float value);
  std::string Floats(const std::vector<int64_t>& shape,
                     const std::vector<float>& values);
  std::string Int64s(const std::vector<int64_t>& values);
  std::string Int32s(const std::vector<int64_t>& shape,
                     const std::vector<int32_t>& values);
  std::string Int8s(const Tensor& tensor);
  std::string Uint8(uint8_t value);

  // What several ops need.
  std::string Activate(const std::string& x, op::Activation activation,
                       float slope);
  std::string Reshape(const std::string& x, const Shape& to);
  std::string Transpose(const std::string& x, const std::vector<int64_t>& perm);
  std::string Slice(const std::string& x, int64_t axis, int64_t begin,
                    int64_t end);
  std::string Sum(const std::string& x, int64_t axis, bool keep);
  std::string Unsqueeze(const std::string& x, const std::vector<int64_t>& axes);
  std::string Cast(const std::string& x, onnx::TensorProto::DataType type);

  // "There is no counterpart": the text says why, or what to do.
  std::vector<std::string> Fail(const std::string& text);

 private:
  const std::string& Read(ValueId id);
  std::string Fresh(const std::string& op);
  std::string Constant(const std::vector<int64_t>& shape,
                       onnx::TensorProto::DataType type, const void* data,
                       int64_t bytes);
  const Tensor* Variable(int i, DType type);
  absl::Status NameResults(const std::vector<std::string>& results,
                           int first_node);

  const Graph& graph_;
  const Variables& variables_;
  onnx::GraphProto* proto_;
  const Node* node_ = nullptr;
  std::vector<ValueId> all_inputs_;
  std::set<ValueId> initialized_, missing_;
  std::map<std::string, int> used_;
  absl::Status status_;
};

using OnnxWrite = std::vector<std::string> (*)(OnnxWriter&);
using OnnxWriteTable = std::map<std::string, OnnxWrite>;

// The tables, a family each.
OnnxWriteTable BasicWriters();     // elementwise functions, products
OnnxWriteTable ImageWriters();     // convolutions, pools, norms
OnnxWriteTable ShapeWriters();     // what moves elements, reductions
OnnxWriteTable SequenceWriters();  // tokens, attention
OnnxWriteTable RecurrentWriters();

// Why an op has no counterpart and what to do; "" for ops not known here.
std::string WhyNotInOnnx(const std::string& op);

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_ONNX_WRITER_H_
