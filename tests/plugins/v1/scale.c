/* A plugin in C against the first version of the interface: y = factor * x, and
 * its gradient as a composition. */
#include <string.h>

#include "tests/plugins/v1/tamer_plugin.h"

static const TamerHost* host;

static TamerStatus Create(void* user, const TamerKernelSpec* spec,
                          TamerKernel* kernel, TamerError* error) {
  (void)user;
  (void)error;
  const double factor = host->param_float(spec->params, 0);
  kernel->scratch_bytes = sizeof(double);
  /* A number small enough to travel in the pointer itself. */
  kernel->kernel = (void*)(size_t)(factor * 1000);
  return TAMER_OK;
}

static TamerStatus Run(void* kernel, const TamerCall* call, TamerError* error) {
  const float factor = (float)(size_t)kernel / 1000;
  const float* x = call->inputs[0].data;
  float* y = call->outputs[0].data;
  int64_t i;
  (void)error;
  for (i = 0; i < call->outputs[0].elements; ++i) y[i] = factor * x[i];
  return TAMER_OK;
}

static TamerStatus Gradient(void* user, const TamerParams* params,
                            TamerGradient* gradient, TamerError* error) {
  const char* inputs[1];
  const char* dx;
  (void)user;
  (void)params;
  (void)error;
  inputs[0] = host->gradient_of_output(gradient, 0);
  dx = host->gradient_emit(gradient, "input", "OldScale",
                           host->param_float(params, 0) == 2 ? "factor: 2"
                                                             : "factor: 0.5",
                           inputs, 1);
  if (dx == NULL) return TAMER_FAILED;
  host->gradient_set(gradient, 0, dx);
  return TAMER_OK;
}

static const TamerParam kFactor = {
    sizeof(TamerParam), TAMER_PARAM_FLOAT, "factor", "The factor, 2 or 0.5.",
    2, NULL, 0, 10, NULL, 0};
static const TamerParam* const kParams[] = {&kFactor};
static TamerOp op;
static const void* const kOps[] = {&op};
static const TamerList kList = {sizeof(TamerList), 1, kOps};

static const TamerList* Query(const char* capability) {
  return strcmp(capability, TAMER_CAPABILITY_OPS) == 0 ? &kList : NULL;
}

static const TamerPlugin kPlugin = {
    sizeof(TamerPlugin), TAMER_ABI_VERSION, 1, 0, "scale", "1.0", "", Query};

TAMER_PLUGIN_EXPORT const TamerPlugin* tamer_plugin_entry(
    const TamerHost* services) {
  host = services;
  op.struct_size = sizeof(op);
  op.name = "OldScale";
  op.doc = "factor * x.";
  op.params = kParams;
  op.num_params = 1;
  op.min_inputs = 1;
  op.create = Create;
  op.run = Run;
  op.gradient = Gradient;
  return &kPlugin;
}
