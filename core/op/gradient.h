#ifndef TAMER_CORE_OP_GRADIENT_H_
#define TAMER_CORE_OP_GRADIENT_H_

#include <string>
#include <vector>

#include "core/op/op.h"

namespace tamer {

// What an op's Gradient sees of its node and of the graph under construction.
// Values go by name: "h1", "h1:1" (second output), "h1/weight" (variable).
//
//   absl::Status Sigmoid::Gradient(GradientBuilder& g) const {
//     op::ActivationGradient grad;
//     grad.set_activation(op::SIGMOID);
//     TAMER_ASSIGN_OR_RETURN(std::string dx,
//         g.Emit("dx", grad, {g.OutputGradient(0), g.Output(0)}));
//     g.SetGradient(0, dx);
//     return absl::OkStatus();
//   }
class GradientBuilder {
 public:
  virtual ~GradientBuilder();

  virtual const OpParams& params() const = 0;
  // Number of inputs and variables, the index space of the functions below: the
  // node's inputs, then its variables in Infer's order.
  virtual int num_inputs() const = 0;
  virtual std::string Input(int i) const = 0;
  virtual TensorType InputType(int i) const = 0;
  virtual std::string Output(int i) const = 0;
  virtual TensorType OutputType(int i) const = 0;

  // The gradient that flows into output `i`, or "" if none does. Output 0 of
  // the node has one whenever Gradient is called, unless only a later output
  // has.
  virtual std::string OutputGradient(int i) const = 0;
  // Whether that gradient is the constant 1: this node is the loss itself.
  virtual bool OutputGradientIsOne(int i) const = 0;
  // Whether anybody wants the gradient of input `i`; if not, spare the work.
  virtual bool Wanted(int i) const = 0;

  // Adds a node called after this one and `suffix`, and returns the name of its
  // first output; further ones are NAME:1, … The kernel overwrites its outputs;
  // fan-out is summed by the caller.
  virtual absl::StatusOr<std::string> Emit(
      const std::string& suffix, const OpParams& op,
      const std::vector<std::string>& inputs) = 0;

  // States that `value` is the gradient of input or variable `i`.
  virtual void SetGradient(int i, const std::string& value) = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_OP_GRADIENT_H_
