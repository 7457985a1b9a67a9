// Recurrent layers of ONNX, each a layer of one or two directions.

#include <algorithm>

#include "core/interchange/onnx_read_tables.h"
#include "core/interchange/onnx_recurrent.h"
#include "proto/ops/recurrent.pb.h"

namespace tamer {
namespace {

// Whether the states before the first step are zero, as here.
bool BeginsAtZero(OnnxReader& r) {
  for (int i = 5; i < 7; ++i) {
    if (!r.Has(i)) continue;
    const OnnxConstant* state = r.Constant(i);
    if (state == nullptr || state->whole ||
        std::any_of(state->floats.begin(), state->floats.end(),
                    [](float x) { return x != 0; })) {
      return false;
    }
  }
  return true;
}

// What has no counterpart is an error.
void CheckSettings(OnnxReader& r, const std::string& direction) {
  if (direction != "forward" && direction != "bidirectional") {
    r.Fail(absl::StrCat("direction ", direction, " has no counterpart"));
  }
  if (!BeginsAtZero(r)) r.Fail("its states must begin at zero");
  if (r.Has(7)) r.Fail("peepholes have no counterpart");
  if (r.Attribute("clip") != nullptr || r.Int("input_forget", 0) != 0) {
    r.Fail("clip and input_forget have no counterpart");
  }
  if (r.Int("layout", 0) != 0) r.Fail("its layout must be 0");
  if (r.Used(2)) r.Fail("the last cells, its third result, are not read");
}

// The weights of all directions, each with its biases, as variables here.
std::vector<std::vector<float>> Reordered(OnnxReader& r,
                                          const RecurrentGates& gates,
                                          int64_t directions, int64_t units) {
  const OnnxConstant* w = r.Weight(1, 3);
  const OnnxConstant* recurrent = r.Weight(2, 3);
  const OnnxConstant* b = r.Has(3) ? r.Weight(3, 2) : nullptr;
  std::vector<std::vector<float>> all;
  if (!r.ok()) return all;
  const int64_t in = w->dims[2];
  const int64_t rows = static_cast<int64_t>(gates.order.size()) * units;
  if (w->elements() != directions * rows * in ||
      recurrent->elements() != directions * rows * units ||
      (b != nullptr && b->elements() != directions * 2 * rows)) {
    r.Fail("its weights have not the sizes that hidden_size asks for");
    return all;
  }
  for (int64_t d = 0; d < directions; ++d) {
    std::vector<float> weight(rows * in), states(rows * units);
    FromOnnxRows(gates, &w->floats[d * rows * in], in, units, weight.data());
    FromOnnxRows(gates, &recurrent->floats[d * rows * units], units, units,
                 states.data());
    std::vector<float> bias(rows, 0), second(rows, 0);
    if (b != nullptr) {
      FromOnnxRows(gates, &b->floats[d * 2 * rows], 1, units, bias.data());
      FromOnnxRows(gates, &b->floats[(d * 2 + 1) * rows], 1, units,
                   second.data());
    }
    for (int64_t i = 0; i < rows && !gates.two_biases; ++i) {
      bias[i] += second[i];
    }
    all.insert(all.end(), {weight, states, bias});
    if (gates.two_biases) all.push_back(second);
  }
  return all;
}

template <typename Params>
void Layer(OnnxReader& r, Params params) {
  const RecurrentGates gates = GatesOf(r.node().op_type());
  const std::string direction = r.Text("direction", "forward");
  CheckSettings(r, direction);
  const int64_t directions = direction == "forward" ? 1 : 2;
  const int64_t units = r.Int("hidden_size", 0);
  if (r.ok() && (units < 1 || units > (1 << 20)))
    r.Fail("hidden_size is wrong");
  const auto weights = Reordered(r, gates, directions, units);
  const OnnxValue x = r.Value(0);
  const Shape steps = r.Dims(0);
  if (!r.ok()) return;
  if (steps.rank() != 3) {
    r.Fail("its input must be [steps, batch, features]");
    return;
  }
  const std::vector<int> by_sample =
      x.view.empty() ? std::vector<int>{1, 0, 2}
                     : std::vector<int>{x.view[1], x.view[0], x.view[2]};
  std::vector<std::string> inputs = {r.LaidOut(x.name, by_sample)};
  if (r.Has(4)) inputs.push_back(r.In(4));
  params.set_units(units);
  params.set_bidirectional(directions == 2);
  const OnnxConstant& owner = *r.Constant(1);
  const int64_t batch = steps.dim(1);
  for (bool last : {false, true}) {
    if (!r.Used(last ? 1 : 0)) continue;
    params.set_last(last);
    const std::string y = r.AddLayer(params, inputs, weights, owner);
    // ONNX sees [T, directions, B, units], and last states [directions, B,
    // units].
    const Shape apart = last ? Shape({batch, directions, units})
                             : Shape({batch, steps.dim(0), directions, units});
    r.Result(r.Reshape(y, apart, "directions"), last ? 1 : 0,
             last ? std::vector<int>{1, 0, 2} : std::vector<int>{1, 2, 0, 3});
  }
}

void Lstm(OnnxReader& r) {
  op::Lstm lstm;
  lstm.set_forget_bias(0);  // the model's bias holds all
  Layer(r, lstm);
}

void Gru(OnnxReader& r) {
  if (r.Int("linear_before_reset", 0) == 0) {
    r.Fail("linear_before_reset must be 1, as PyTorch has it");
  }
  Layer(r, op::Gru());
}

void Rnn(OnnxReader& r) {
  op::Rnn rnn;
  const auto* functions = r.Attribute("activations");
  for (int i = 0; functions != nullptr && i < functions->strings_size(); ++i) {
    if (functions->strings(i) != functions->strings(0) ||
        (functions->strings(i) != "Tanh" && functions->strings(i) != "Relu")) {
      r.Fail("its activations must be Tanh or Relu");
    }
    rnn.set_rectified(functions->strings(i) == "Relu");
  }
  Layer(r, rnn);
}

}  // namespace

OnnxReadTable RecurrentReaders() {
  return {{"GRU", Gru}, {"LSTM", Lstm}, {"RNN", Rnn}};
}

}  // namespace tamer
