// Recurrent layers in ONNX. There steps come before samples, and the gates'
// rows of a weight stand in another order.

#include "core/interchange/onnx_recurrent.h"
#include "core/interchange/onnx_writer.h"
#include "proto/ops/recurrent.pb.h"

namespace tamer {
namespace {

using Names = std::vector<std::string>;

struct Layers {
  int64_t units = 0;
  int layers = 1, directions = 1;
  bool last = false;
  float forget_bias = 0;
  int gates = 1;
  const char* op = "";
  std::vector<OnnxAttribute> attributes;
};

// One layer, all directions: W, R and B as ONNX has them.
struct Weights {
  std::string w, r, b;
};

Weights Reordered(OnnxWriter& w, const Layers& all, int first_variable,
                  int64_t in) {
  const RecurrentGates order = GatesOf(all.op);
  const int64_t units = all.units, rows = all.gates * units;
  const int per_direction = order.two_biases ? 4 : 3;
  std::vector<float> weight(all.directions * rows * in);
  std::vector<float> recurrent(all.directions * rows * units);
  std::vector<float> bias(all.directions * 2 * rows);
  for (int d = 0; d < all.directions; ++d) {
    const int at = first_variable + d * per_direction;
    for (int i = 0; i < per_direction; ++i) {
      if (w.Numbers(at + i) == nullptr) return {};
    }
    ToOnnxRows(order, w.Numbers(at), in, units, &weight[d * rows * in]);
    ToOnnxRows(order, w.Numbers(at + 1), units, units,
               &recurrent[d * rows * units]);
    float* biases = &bias[d * 2 * rows];
    ToOnnxRows(order, w.Numbers(at + 2), 1, units, biases);
    if (order.two_biases) {
      ToOnnxRows(order, w.Numbers(at + 3), 1, units, biases + rows);
    }
    for (int64_t u = 0; order.forget >= 0 && u < units; ++u) {
      biases[order.forget * units + u] += all.forget_bias;
    }
  }
  return {w.Floats({all.directions, rows, in}, weight),
          w.Floats({all.directions, rows, units}, recurrent),
          w.Floats({all.directions, 2 * rows}, bias)};
}

Names Write(OnnxWriter& w, const Layers& all) {
  const Shape& x = w.InShape(0);
  const int per_layer = (GatesOf(all.op).two_biases ? 4 : 3) * all.directions;
  const int variables = per_layer * all.layers;
  const bool lengths = w.inputs() - variables == 2;
  const int64_t width = all.directions * all.units;
  std::vector<OnnxAttribute> attributes = all.attributes;
  attributes.push_back({"hidden_size", all.units});
  attributes.push_back(
      {"direction",
       std::string(all.directions == 2 ? "bidirectional" : "forward")});
  std::string steps = w.Transpose(w.In(0), {1, 0, 2});
  for (int l = 0; l < all.layers; ++l) {
    const int64_t in = l == 0 ? x.dim(2) : width;
    const Weights weights =
        Reordered(w, all, w.inputs() - variables + l * per_layer, in);
    const std::string y = w.Emit(all.op,
                                 {steps, weights.w, weights.r, weights.b,
                                  lengths ? w.In(1) : std::string()},
                                 attributes, 2);
    if (all.last && l + 1 == all.layers) {
      return {w.Reshape(w.Transpose(absl::StrCat(y, ":1"), {1, 0, 2}),
                        w.OutShape())};
    }
    // [T, directions, B, units] to [B, T, directions * units].
    const std::string samples = w.Reshape(w.Transpose(y, {2, 0, 1, 3}),
                                          Shape({x.dim(0), x.dim(1), width}));
    if (l + 1 == all.layers) return {samples};
    steps = w.Transpose(samples, {1, 0, 2});
  }
  return {};
}

template <typename Params>
Layers LayersOf(const Params& params, const char* op) {
  Layers all;
  all.units = params.units();
  all.layers = params.layers();
  all.directions = params.bidirectional() ? 2 : 1;
  all.last = params.last();
  all.op = op;
  all.gates = static_cast<int>(GatesOf(op).order.size());
  return all;
}

Names Lstm(OnnxWriter& w) {
  Layers all = LayersOf(w.Op<op::Lstm>(), "LSTM");
  all.forget_bias = w.Op<op::Lstm>().forget_bias();
  return Write(w, all);
}

Names Gru(OnnxWriter& w) {
  Layers all = LayersOf(w.Op<op::Gru>(), "GRU");
  all.attributes.push_back({"linear_before_reset", int64_t{1}});
  return Write(w, all);
}

Names Rnn(OnnxWriter& w) {
  Layers all = LayersOf(w.Op<op::Rnn>(), "RNN");
  const char* function = w.Op<op::Rnn>().rectified() ? "Relu" : "Tanh";
  all.attributes.push_back(
      {"activations", Names(static_cast<size_t>(all.directions), function)});
  return Write(w, all);
}

}  // namespace

OnnxWriteTable RecurrentWriters() {
  return {{"Gru", Gru}, {"Lstm", Lstm}, {"Rnn", Rnn}};
}

}  // namespace tamer
