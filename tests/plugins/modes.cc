// Ops that differ between training and prediction: one with state, one random.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

// y = x - mean, where `mean` follows the minibatches' means in training.
struct Centered : Op {
  static constexpr char kName[] = "Centered";
  static constexpr uint32_t kFlags = kDiffersAtInference;
  float rate = 0.5f;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("rate", &Centered::rate, "How fast the mean follows.");
  }
  void Infer(Inference& in) const {
    in.Output(in.input(0).dims());
    in.State("mean", {in.input(0).last()});
  }
  void Prepare(const Spec& spec) { training = !spec.inference(); }
  void Forward(const Call& call) {
    const float* x = call.input(0).floats();
    float* mean = call.variable(0).floats();
    const int64_t n = call.input(0).last(), rows = call.input(0).rows();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        call.output(0).floats()[r * n + i] = x[r * n + i] - mean[i];
      }
    }
    for (int64_t i = 0; training && i < n; ++i) {
      float sum = 0;
      for (int64_t r = 0; r < rows; ++r) sum += x[r * n + i];
      mean[i] += rate * (sum / rows - mean[i]);
    }
  }
  void Backward(const BackwardCall& call) {
    const float* dy = call.output_gradient(0).floats();
    float* dx = call.input_gradient(0).floats();
    if (call.variable(0)) throw Error("state is not given to backward");
    Loop(call.input(0).size(), [=](int64_t i) { dx[i] = dy[i]; });
  }

  bool training = true;
};

// x plus noise; in prediction x.
struct Jitter : Op {
  static constexpr char kName[] = "Jitter";
  static constexpr uint32_t kFlags = kIdentityAtInference;

  void Prepare(const Spec& spec) { key = spec.stream_key(); }
  void Forward(const Call& call) {
    float* y = call.output(0).floats();
    const float* x = call.input(0).floats();
    Host()->fill_uniform(key, call.step(), call.output(0).size(), y);
    Loop(call.output(0).size(), [=](int64_t i) { y[i] += x[i]; });
  }
  void Backward(const BackwardCall& call) {
    const float* dy = call.output_gradient(0).floats();
    float* dx = call.input_gradient(0).floats();
    Loop(call.input(0).size(), [=](int64_t i) { dx[i] = dy[i]; });
  }

  uint64_t key = 0;
};

TAMER_PLUGIN("modes", "1", Centered, Jitter)
