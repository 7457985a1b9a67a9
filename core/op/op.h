#ifndef TAMER_CORE_OP_OP_H_
#define TAMER_CORE_OP_OP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "core/base/tensor.h"
#include "google/protobuf/message.h"
#include "proto/initializer.pb.h"

// What an operation is: its parameters' schema, its shape rule, its gradient,
// and the kernel that computes it. An op knows nothing of graphs, plans or
// threads.

namespace tamer {

class GradientBuilder;

// An op *is* its parameter message: built-in ops have a generated type from
// proto/ops, plugins' ops a dynamic one.
using OpParams = google::protobuf::Message;

// A tensor that belongs to a node and lives from step to step: a parameter
// (weight, bias), or state (a velocity, fantasy particles).
struct VariableSpec {
  // The variable is called NODE/name; with "" it bears the node's own name.
  std::string name;
  // Never batched.
  TensorType type;
  Initializer initializer;
  // Whether fine-tuning may change it; state is not trainable.
  bool trainable = true;
  // Whether weight decay applies; it does not on biases.
  bool decay = true;
  // Whether the node's own runs change it: running statistics.
  bool mutated = false;
};

// What Infer finds of a node.
struct Inference {
  std::vector<TensorType> outputs;
  std::vector<VariableSpec> variables;
};

// All that a kernel may be specialised for. Shapes are bound: no batch symbol.
// `inputs` are the node's inputs and then its variables, in Infer's order.
struct KernelSpec {
  const OpParams* params = nullptr;
  std::vector<TensorType> inputs;
  std::vector<TensorType> outputs;
  // Samples in this minibatch: the B of the graph's shapes.
  int64_t batch = 1;
  // Key of the node's random stream (see core/base/random.h), from the run's
  // seed and the node's name.
  uint64_t stream_key = 0;
  // The node's name, for messages.
  std::string node;
  // Whether the variables keep the values that they have when the kernel first
  // runs, as in prediction: it may then keep them in an order of its own.
  bool fixed_variables = false;
};

// What a kernel gets for one run. The views stay valid, and their `data` the
// same but for the graph's inputs, as long as the plan lives.
struct KernelArgs {
  absl::Span<const Tensor> inputs;  // inputs, then variables
  absl::Span<const Tensor> outputs;
  void* scratch = nullptr;  // Kernel::scratch_bytes(), aligned to 64
  uint64_t step = 0;        // steps since the stage began
};

// The compiled form of one node for one batch size. It keeps no state from run
// to run (state is a variable; what it derives once of variables that nothing
// changes is none) and is never run twice at once.
class Kernel {
 public:
  virtual ~Kernel() = default;

  // Computes the outputs, overwriting them whole. Doesn't allocate, look up, or
  // create primitives. Uses OpenMP for work that is large enough.
  virtual absl::Status Run(const KernelArgs& args) = 0;

  // Working memory that Run needs; shared with other kernels between runs.
  virtual int64_t scratch_bytes() const { return 0; }
};

// An operation. Stateless and immutable, so usable from many threads at once;
// an OpRegistry owns it.
class Op {
 public:
  virtual ~Op() = default;

  // "Dense": the name in `[op/Dense]`, also the schema's.
  virtual const std::string& name() const = 0;

  // The parameters' message type: their names, types, defaults and
  // documentation (options tamer.op_doc and tamer.doc).
  virtual const google::protobuf::Descriptor& schema() const = 0;

  // A new parameter message with default values.
  virtual std::unique_ptr<OpParams> NewParams() const = 0;

  // Checks parameters and input types, and tells output types and variables.
  // The error says which rule is broken and shows the shapes seen; the caller
  // adds file, line, node and op. Input shapes may be batched. A wrong number
  // of inputs is an error here too.
  virtual absl::StatusOr<Inference> Infer(
      const OpParams& params, absl::Span<const TensorType> inputs) const = 0;

  // Emits the nodes that compute the gradients of this node's inputs and
  // variables from those of its outputs. An op without one returns
  // kUnimplemented, which stops the training of anything before it.
  virtual absl::Status Gradient(GradientBuilder& builder) const;

  // Makes the kernel for these shapes. `spec.params` has passed Infer.
  virtual absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const = 0;

  // Indices (among inputs, then variables) that a run changes in place, beside
  // the node's own variables that Infer calls `mutated`. Such an input must be
  // a variable; all other readers of it run before.
  virtual std::vector<int> Mutates(const OpParams& params) const;

  // The input whose memory output `output` may overwrite, or -1.
  virtual int InPlaceInput(const OpParams& params, int output) const;

  // Whether the infer pass may replace the node by its first input (dropout).
  virtual bool IdentityAtInference() const { return false; }

  // The parameters that the infer pass gives the node instead, or null if it is
  // the same in prediction as in training.
  virtual std::unique_ptr<OpParams> AtInference(const OpParams& params) const;

  // The parameters with which the node does the same to images whose channels
  // stand last, `rank` being the images', and whether it is faster so; null if
  // it can't. See core/op/layout.h. By default, whether there is a parameter
  // `channels_last`.
  virtual std::unique_ptr<OpParams> ChannelsLast(const OpParams& params,
                                                 int rank) const;
  virtual bool PrefersChannelsLast(const OpParams&) const { return false; }

  // As a loss or metric, one with inputs (prediction, target): whether the
  // target is the data's labels, INT32 [B], not values of the prediction's
  // shape.
  virtual bool TakesLabels() const { return false; }

  // Floating-point operations of one run; counts a multiply-add as two.
  virtual double Flops(const KernelSpec& spec) const;
};

// The base of ops whose schema is the generated message `Params`: implement
// Infer and Compile with the typed message at hand by Typed().
template <typename Params>
class TypedOp : public Op {
 public:
  const std::string& name() const final { return Params::descriptor()->name(); }
  const google::protobuf::Descriptor& schema() const final {
    return *Params::descriptor();
  }
  std::unique_ptr<OpParams> NewParams() const final {
    return std::make_unique<Params>();
  }

 protected:
  static const Params& Typed(const OpParams& params) {
    return static_cast<const Params&>(params);
  }
};

}  // namespace tamer

#endif  // TAMER_CORE_OP_OP_H_
