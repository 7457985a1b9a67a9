// A good plugin in plain tables, which bad ones change: the op Doubled, y = 2 x,
// with two parameters and a backward. A plugin's source includes this and
// defines Edit().

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "tamer_plugin.h"

// Changes the tables before the host sees them.
static void Edit();

static const TamerHost* host;
static TamerParam param, other_param;
static const TamerParam* params[] = {&param, &other_param};
static TamerOp op, other_op;
static const void* ops[] = {&op, &other_op};
static TamerList list;
static TamerPlugin plugin;

static TamerStatus Infer(void*, const TamerParams*, TamerInference* inference,
                         TamerError*) {
  const TamerTensor* x = host->inference_input(inference, 0);
  return host->inference_add_output(inference, TAMER_FLOAT, x->dims, x->rank);
}

static TamerStatus Run(void*, const TamerCall* call, TamerError*) {
  const float* x = static_cast<const float*>(call->inputs[0].data);
  float* y = static_cast<float*>(call->outputs[0].data);
  for (int64_t i = 0; i < call->outputs[0].elements; ++i) y[i] = 2 * x[i];
  return TAMER_OK;
}

static TamerStatus Backward(void*, const TamerBackward* call, TamerError*) {
  const float* dy = static_cast<const float*>(call->output_gradients[0].data);
  float* dx = static_cast<float*>(call->input_gradients[0].data);
  for (int64_t i = 0; i < call->outputs[0].elements; ++i) dx[i] = 2 * dy[i];
  return TAMER_OK;
}

static const TamerList* Query(const char* capability) {
  return std::strcmp(capability, TAMER_CAPABILITY_OPS) == 0 ? &list : nullptr;
}

// A weight called `name` of these dimensions.
static inline TamerStatus AddWeight(TamerInference* inference, int64_t first,
                                    int32_t initializer, uint32_t flags) {
  const int64_t dims[] = {first, 3};
  TamerVariable variable;
  std::memset(&variable, 0, sizeof(variable));
  variable.struct_size = sizeof(variable);
  variable.name = "weight";
  variable.dims = dims;
  variable.rank = 2;
  variable.initializer = initializer;
  variable.flags = flags;
  return host->inference_add_variable(inference, &variable);
}

extern "C" TAMER_PLUGIN_EXPORT const TamerPlugin* tamer_plugin_entry(
    const TamerHost* services) {
  host = services;
  for (TamerParam* one : {&param, &other_param}) {
    one->struct_size = sizeof(TamerParam);
    one->name = one == &param ? "alpha" : "beta";
    one->doc = "A number.";
    one->default_number = 1;
  }
  for (TamerOp* one : {&op, &other_op}) {
    one->struct_size = sizeof(TamerOp);
    one->name = one == &op ? "Doubled" : "OtherDoubled";
    one->doc = "2 x.";
    one->params = params;
    one->num_params = 2;
    one->min_inputs = 1;
    one->infer = Infer;
    one->run = Run;
    one->backward = Backward;
  }
  list.struct_size = sizeof(list);
  list.count = 2;
  list.items = ops;
  plugin.struct_size = sizeof(plugin);
  plugin.abi_version = TAMER_ABI_VERSION;
  plugin.min_host_abi = 1;
  plugin.name = "sample";
  plugin.version = "1";
  plugin.query = Query;
  Edit();
  return &plugin;
}
