// ReLU once more, as a plugin, to be timed against the built-in one.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct PluginRelu : Op {
  static constexpr char kName[] = "PluginRelu";
  static constexpr char kDoc[] = "max(x, 0).";
  static constexpr uint32_t kFlags =
      kInPlace | kBackwardInPlace | kBackwardOutputs;

  void Forward(const Call& call) {
    const float* x = call.input(0).floats();
    float* y = call.output(0).floats();
    Loop(call.output(0).size(),
         [=](int64_t i) { y[i] = x[i] < 0 ? 0.0f : x[i]; });
  }
  void Backward(const BackwardCall& call) {
    const float* y = call.output(0).floats();
    const float* dy = call.output_gradient(0).floats();
    float* dx = call.input_gradient(0).floats();
    Loop(call.output(0).size(),
         [=](int64_t i) { dx[i] = y[i] > 0 ? dy[i] : 0.0f; });
  }
};

TAMER_PLUGIN("plugin_relu", "1.0", PluginRelu)
