#ifndef TAMER_CORE_INTERCHANGE_ONNX_RECURRENT_H_
#define TAMER_CORE_INTERCHANGE_ONNX_RECURRENT_H_

#include <cstdint>
#include <string>
#include <vector>

// How the gates of recurrent layers stand in weights. Here a weight is
// [in, gates * units], a gate's columns together; in ONNX [gates * units, in],
// with the gates in another order.

namespace tamer {

struct RecurrentGates {
  // ONNX's gate g is ours of number order[g].
  std::vector<int> order;
  // ONNX's place of the forget gate; -1 if there is none.
  int forget = -1;
  // Whether the recurrent product has a bias of its own.
  bool two_biases = false;
};

// Of "LSTM", "GRU" or "RNN".
inline RecurrentGates GatesOf(const std::string& op) {
  if (op == "LSTM") return {{0, 3, 1, 2}, 2, false};  // i o f c, of i f g o
  if (op == "GRU") return {{1, 0, 2}, -1, true};      // z r h, of r z n
  return {{0}, -1, false};
}

// Writes `ours`, [in, gates * units], to `theirs`, [gates * units, in]. A bias
// has in = 1.
inline void ToOnnxRows(const RecurrentGates& gates, const float* ours,
                       int64_t in, int64_t units, float* theirs) {
  const int64_t columns = static_cast<int64_t>(gates.order.size()) * units;
  for (size_t g = 0; g < gates.order.size(); ++g) {
    for (int64_t u = 0; u < units; ++u) {
      for (int64_t i = 0; i < in; ++i) {
        *theirs++ = ours[i * columns + gates.order[g] * units + u];
      }
    }
  }
}

// And back.
inline void FromOnnxRows(const RecurrentGates& gates, const float* theirs,
                         int64_t in, int64_t units, float* ours) {
  const int64_t columns = static_cast<int64_t>(gates.order.size()) * units;
  for (size_t g = 0; g < gates.order.size(); ++g) {
    for (int64_t u = 0; u < units; ++u) {
      for (int64_t i = 0; i < in; ++i) {
        ours[i * columns + gates.order[g] * units + u] = *theirs++;
      }
    }
  }
}

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_ONNX_RECURRENT_H_
