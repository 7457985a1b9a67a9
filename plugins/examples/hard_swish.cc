// x * clip(x / 6 + 1/2, 0, 1) on oneDNN: Howard et al. 2019, "Searching for
// MobileNetV3". A plugin may call what libraries it likes.

#include <dnnl.hpp>

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct HardSwishOneDnn : Op {
  static constexpr char kName[] = "HardSwishOneDnn";
  static constexpr char kDoc[] = "x * clip(x / 6 + 1/2, 0, 1), on oneDNN.";
  static constexpr uint32_t kFlags =
      kInPlace | kBackwardInPlace | kBackwardInputs;

  void Prepare(const Spec& spec) {
    using dnnl::memory;
    const auto algorithm = dnnl::algorithm::eltwise_hardswish;
    engine = dnnl::engine(dnnl::engine::kind::cpu, 0);
    stream = dnnl::stream(engine);
    type = memory::desc({spec.input(0).size()}, memory::data_type::f32,
                        memory::format_tag::a);
    const dnnl::eltwise_forward::primitive_desc forward_desc(
        {dnnl::prop_kind::forward_training, algorithm, type, 1.0f / 6, 0.5f},
        engine);
    for (dnnl::memory* memory : {&x, &y, &dx, &dy}) {
      *memory = dnnl::memory(type, engine, nullptr);
    }
    if (spec.backward()) {
      run = dnnl::eltwise_backward(
          {{algorithm, type, type, 1.0f / 6, 0.5f}, engine, forward_desc});
    } else {
      run = dnnl::eltwise_forward(forward_desc);
    }
  }

  void Forward(const Call& call) {
    x.set_data_handle(call.input(0).floats());
    y.set_data_handle(call.output(0).floats());
    run.execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
    stream.wait();
  }

  void Backward(const BackwardCall& call) {
    if (!call.input_gradient(0) || !call.output_gradient(0)) return;
    x.set_data_handle(call.input(0).floats());
    dy.set_data_handle(call.output_gradient(0).floats());
    dx.set_data_handle(call.input_gradient(0).floats());
    run.execute(
        stream,
        {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, dx}});
    stream.wait();
  }

  dnnl::engine engine;
  dnnl::stream stream;
  dnnl::memory::desc type;
  dnnl::memory x, y, dx, dy;
  dnnl::primitive run;
};

TAMER_PLUGIN("hard_swish", "1.0", HardSwishOneDnn)
