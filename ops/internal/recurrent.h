#ifndef TAMER_OPS_INTERNAL_RECURRENT_H_
#define TAMER_OPS_INTERNAL_RECURRENT_H_

#include <cstdint>

#include "core/base/parallel.h"

// What of a recurrent layer depends on the step before: the product of the last
// state with the recurrent weight, and the cell's formulas. What comes from the
// input has been made for all steps at once by an ordinary product.
//
// Each thread takes samples of its own through all their steps, so that threads
// wait for each other once, not in every step. The weight is packed first; sums
// of a product stay in registers until the cell's formulas are applied to them.
// A sample's numbers don't depend on which others are computed with it.

namespace tamer {

enum class Cell { kLstm, kGru, kTanh, kRelu };

// Numbers a unit gets from the input and from its state: 4, 3, 1, 1.
inline int64_t GatesOf(Cell cell) {
  return cell == Cell::kLstm ? 4 : cell == Cell::kGru ? 3 : 1;
}

// Whether a step keeps a number a unit beside gates and state.
inline bool HasCells(Cell cell) {
  return cell == Cell::kLstm || cell == Cell::kGru;
}

// One direction of one layer. All is row-major.
struct Recurrent {
  Cell cell = Cell::kTanh;
  int64_t batch = 0, steps = 0, units = 0;
  // This direction's place among the directions of a layer, 0 of 1, say. The
  // second reads a sample's steps from its last to its first.
  int direction = 0, directions = 1;
  // Whether dy is the gradient at the last state alone, [batch, directions *
  // units].
  bool last = false;
  // Added to what an LSTM's forget gate is the sigmoid of.
  float forget_bias = 0;

  int64_t gates() const { return GatesOf(cell); }
  // Of the memory that Forward, or Backward, needs.
  int64_t forward_bytes() const;
  int64_t backward_bytes() const;
};

struct RecurrentForward {
  const int32_t* lengths = nullptr;  // null: all have all steps
  const float* weight = nullptr;     // [units, gates * units]
  const float* bias = nullptr;       // [gates * units], added to the product
  float* gates = nullptr;     // [batch, steps, gates * units]: from what the
                              // input gives to the gates' values
  float* cells = nullptr;     // [batch, steps, units]: of LSTM and GRU
  float* sequence = nullptr;  // [batch, steps, directions * units]: states
  void* scratch = nullptr;
};

struct RecurrentBackward {
  const int32_t* lengths = nullptr;
  const float* weight = nullptr;
  const float* dy = nullptr;  // as `sequence`, unless `last`
  const float* gates = nullptr;
  const float* cells = nullptr;
  const float* sequence = nullptr;
  float* dgates = nullptr;    // as gates, before their activations
  float* dproduct = nullptr;  // the same at weight's product, where it differs:
                              // GRU
  float* before = nullptr;  // [batch, steps, units]: the state before each step
  void* scratch = nullptr;
};

// Columns [u, u + 1) of gates are unit u's first gate, and so on: a gate's
// columns lie together. LSTM: input i, forget f, cell g, output o (Hochreiter
// and Schmidhuber 1997; Gers et al. 2000); `cells` are c. GRU: reset r, update
// z, candidate n = tanh(. + r * (h R + b)) (Cho et al. 2014, reset after the
// product as in cuDNN); `cells` are that h R + b.
//
// Padded steps get zero states, and zero gradients.
void Forward(const Recurrent& layer, const RecurrentForward& data);
void Backward(const Recurrent& layer, const RecurrentBackward& data);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_RECURRENT_H_
