#ifndef TAMER_OPS_INTERNAL_TESTING_H_
#define TAMER_OPS_INTERNAL_TESTING_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/op/op.h"
#include "proto/ops/dense.pb.h"

// Runs single ops without a graph, and checks their gradients.

namespace tamer {

// A tensor with memory of its own.
struct Value {
  TensorType type;
  std::vector<float> floats;
  std::vector<int32_t> ints;
  std::vector<int8_t> bytes;

  Tensor view();
};

Value Floats(std::vector<int64_t> shape, std::vector<float> values);
Value Ints(std::vector<int64_t> shape, std::vector<int32_t> values);
Value Bytes(std::vector<int64_t> shape, std::vector<int8_t> values);
// Uniform in [low, high), from a stream that `seed` fixes.
Value Random(std::vector<int64_t> shape, uint64_t seed, float low = -1,
             float high = 1);

// The same with zeros as images and units at rest have them: at two thirds of
// the columns, some of them minus zero, and here and there elsewhere.
Value WithZeros(Value value);

struct RunResult {
  std::vector<Value> outputs;
  // Inputs, then variables, as they were left.
  std::vector<Value> inputs;
};

// Infers, compiles and runs the op whose parameters these are. `inputs` are the
// node's inputs and then values for its variables. Outputs and scratch begin as
// NaN, so what a kernel doesn't write shows. With `threads` it runs on so many,
// not on those that it was made for.
absl::StatusOr<RunResult> RunOp(const OpParams& params,
                                std::vector<Value> inputs, uint64_t step = 0,
                                int64_t batch = 1, bool fixed_variables = false,
                                int threads = 0);

// The op's Gradient, what it emits being run at once: the gradients at the
// inputs (then variables) in `wanted`, from those at its first outputs.
absl::StatusOr<std::map<int, Value>> RunGradient(
    const OpParams& params, const std::vector<Value>& inputs,
    const std::vector<Value>& outputs,
    const std::vector<Value>& output_gradients, const std::vector<int>& wanted,
    int64_t batch = 1);

// The error of Infer on inputs of these types, or "".
std::string InferError(const OpParams& params,
                       const std::vector<TensorType>& inputs);

// All outputs from all inputs (then variables), in double.
using Reference = std::function<std::vector<std::vector<double>>(
    const std::vector<std::vector<double>>&)>;

// Checks the op's outputs against `reference`, its gradients at every FLOAT
// input in `differentiable` (indices among inputs, then variables) against
// central differences of `reference` in double precision, and that 1, 2 and 3
// threads give the same bits. The quantity differentiated is a random
// combination of output 0. Fails the running test otherwise.
void CheckOp(const OpParams& params, const std::vector<Value>& inputs,
             const std::vector<int>& differentiable, const Reference& reference,
             double tolerance = 2e-4, int64_t batch = 1);

// An activation of x, in double.
double Activate(op::Activation activation, float slope, double x);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_TESTING_H_
