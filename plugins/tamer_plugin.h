/* Tamer's plugin interface: the whole contract between a plugin and its host.
 *
 * A plugin is a shared library with one exported function, tamer_plugin_entry.
 * It needs this header alone: no protobuf, no Abseil, no oneDNN. C++ authors
 * find tamer_plugin.hpp easier.
 *
 * VERSIONS. This interface only ever grows at the end: of structs by new members,
 * of enumerations by new values. No member moves, goes or changes its meaning.
 * Each table begins with `struct_size`, sizeof the struct as its maker knew it;
 * the other side reads a member only if it lies inside, and takes it for zero
 * otherwise. TAMER_ABI_VERSION counts the growths. A plugin that was compiled with
 * an older or newer header is served with what both sides know; one that cannot
 * do without something newer says so in `min_host_abi`.
 *
 * MEMORY. Who allocates frees. What a plugin's tables point to must stay as it is
 * while the library is loaded (static data does); a host keeps a library loaded
 * until its process ends. What the host passes to a callback is valid until that
 * callback returns. The host copies all text given to it.
 *
 * ERRORS are values: a callback returns TAMER_OK, or what `fail` returned after
 * being told in words what rule is broken. The host adds the plugin's file, op and
 * node. No C++ exception may leave a callback.
 *
 * THREADS. Tables are read from any thread. Callbacks that get `user` (infer,
 * gradient, create, flops, open) may be called from several threads at once.
 * Those that get a `kernel`: several kernels run at once, one kernel never does,
 * but for TamerUpdateRule.update.
 *
 * TRUST. A plugin runs inside the host's process with its rights.
 */
#ifndef TAMER_PLUGIN_H_
#define TAMER_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TAMER_ABI_VERSION 1

#if defined(__GNUC__)
#define TAMER_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define TAMER_PLUGIN_EXPORT
#endif

/* What a callback returns. */
typedef int32_t TamerStatus;
#define TAMER_OK 0
#define TAMER_FAILED 1

/* The host's own; a plugin only hands them back. */
typedef struct TamerError TamerError;
typedef struct TamerParams TamerParams;
typedef struct TamerInference TamerInference;
typedef struct TamerGradient TamerGradient;

/* Element types. */
enum { TAMER_FLOAT = 0, TAMER_INT32 = 1, TAMER_UINT8 = 2 };

/* A dense row-major tensor. Never grows: arrays of it are passed. While shapes
 * are inferred `data` is null, a dimension -k stands for k times the minibatch
 * ([-1, 784] is [B, 784]) and `elements` is minus those of one sample. When a
 * kernel is made or run all dimensions are numbers; outermost first. In a run
 * `data` is aligned to 64 bytes, but for inputs that the caller supplies, which
 * are aligned to their element. */
typedef struct TamerTensor {
  void* data;
  const int64_t* dims;
  int64_t elements;
  int32_t rank;
  int32_t type;
} TamerTensor;

/* ---- Parameters: what is written in a network between the braces ---- */

enum {
  TAMER_PARAM_FLOAT = 0,
  TAMER_PARAM_INT = 1, /* 64 bits */
  TAMER_PARAM_BOOL = 2,
  TAMER_PARAM_STRING = 3,
  TAMER_PARAM_ENUM = 4, /* read as an integer, an index of `choices` */
  TAMER_PARAM_FLOATS = 5,
  TAMER_PARAM_INTS = 6,
  TAMER_PARAM_FILE = 7 /* a string; relative to the recipe's folder */
};

typedef struct TamerParam {
  uint32_t struct_size;
  int32_t type;
  const char* name; /* lower_case; not beginning with tamer_ */
  const char* doc;  /* a sentence, for `tamer ops NAME` */
  double default_number;    /* FLOAT, INT, BOOL, ENUM; lists are empty */
  const char* default_text; /* STRING; null for "" */
  double minimum, maximum;  /* inclusive, checked if minimum < maximum */
  const char* const* choices; /* ENUM: names in CAPITALS */
  uint32_t num_choices;
} TamerParam;

/* ---- Weights and state of an op ---- */

enum {
  TAMER_INIT_ZERO = 0,
  TAMER_INIT_CONSTANT = 1, /* a */
  TAMER_INIT_UNIFORM = 2,  /* from a to b */
  TAMER_INIT_GAUSSIAN = 3, /* mean a, standard deviation b */
  TAMER_INIT_XAVIER = 4,
  TAMER_INIT_HE = 5,
  TAMER_INIT_ORTHOGONAL = 6 /* gain a, or 1 if it is 0 */
};

enum {
  /* Changed by the op's own training runs, not by fine-tuning (running means). It
   * is saved in checkpoints, and isn't given to `backward`. Without this flag a
   * variable is a weight. */
  TAMER_VARIABLE_STATE = 1,
  /* Spared by weight decay, as biases are. */
  TAMER_VARIABLE_NO_DECAY = 2
};

typedef struct TamerVariable {
  uint32_t struct_size;
  uint32_t flags;
  const char* name; /* the variable is called NODE/name */
  const int64_t* dims;
  int32_t rank;
  int32_t initializer;
  double a, b;
} TamerVariable;

/* ---- Ops ---- */

enum {
  /* Output 0 may stand in input 0's memory. */
  TAMER_OP_IN_PLACE = 1,
  /* Input gradient 0 may stand in output gradient 0's memory. */
  TAMER_OP_BACKWARD_IN_PLACE = 2,
  /* `backward` reads inputs; outputs. What it doesn't need isn't kept for it, and
   * has null data there. */
  TAMER_OP_BACKWARD_INPUTS = 4,
  TAMER_OP_BACKWARD_OUTPUTS = 8,
  /* Left out of prediction: output 0 is input 0 (as dropout). */
  TAMER_OP_IDENTITY_AT_INFERENCE = 16,
  /* Prediction differs from training otherwise, which `inference` of the spec
   * tells; needed by an op with state. */
  TAMER_OP_DIFFERS_AT_INFERENCE = 32
};

enum { TAMER_FORWARD = 0, TAMER_BACKWARD = 1 };

/* What a kernel is made for. */
typedef struct TamerKernelSpec {
  uint32_t struct_size;
  int32_t direction;
  const TamerParams* params;
  const TamerTensor* inputs; /* data is null in all of them */
  const TamerTensor* variables;
  const TamerTensor* outputs;
  uint32_t num_inputs, num_variables, num_outputs;
  /* Whether it is for prediction: then state must not be changed. */
  int32_t inference;
  int64_t batch; /* samples */
  /* Key of the node's own random stream, for fill_uniform and fill_gaussian. */
  uint64_t stream_key;
  const char* node; /* the node's name */
} TamerKernelSpec;

/* What `create` gives. */
typedef struct TamerKernel {
  uint32_t struct_size; /* set by the host */
  uint32_t reserved;
  void* kernel;          /* the plugin's own; may be null */
  int64_t scratch_bytes; /* working memory for each run, shared between kernels */
} TamerKernel;

/* One forward run: outputs are to be overwritten whole, state changed in place. */
typedef struct TamerCall {
  uint32_t struct_size;
  uint32_t reserved;
  const TamerTensor* inputs;
  const TamerTensor* variables;
  const TamerTensor* outputs;
  void* scratch; /* aligned to 64 bytes; holds anything */
  uint64_t step; /* steps since the stage began: random streams take it */
} TamerCall;

/* One backward run: the gradients wanted are to be overwritten whole; those not
 * wanted have null data, as do output gradients that are zero because nothing
 * flows there. */
typedef struct TamerBackward {
  uint32_t struct_size;
  uint32_t reserved;
  const TamerTensor* inputs;
  const TamerTensor* variables;
  const TamerTensor* outputs;
  const TamerTensor* output_gradients;
  const TamerTensor* input_gradients;
  const TamerTensor* variable_gradients;
  void* scratch;
  uint64_t step; /* that of the forward run */
} TamerBackward;

typedef struct TamerOp {
  uint32_t struct_size;
  uint32_t flags;
  const char* name; /* "Swish": written [op/Swish] */
  const char* doc;
  const TamerParam* const* params;
  uint32_t num_params;
  uint32_t min_inputs;
  uint32_t max_inputs; /* 0: as min_inputs; UINT32_MAX: any number */
  uint32_t num_examples;
  void* user; /* handed to the callbacks */
  /* Checks shapes by the inference_ functions of TamerHost, and tells outputs and
   * variables. Null: one output, like input 0, and no variables. */
  TamerStatus (*infer)(void* user, const TamerParams* params,
                       TamerInference* inference, TamerError* error);
  /* Makes a kernel for one direction; null: a null kernel without scratch. */
  TamerStatus (*create)(void* user, const TamerKernelSpec* spec,
                        TamerKernel* kernel, TamerError* error);
  /* Allocates nothing, so that a training step doesn't. Required. */
  TamerStatus (*run)(void* kernel, const TamerCall* call, TamerError* error);
  void (*destroy)(void* kernel); /* null: nothing to free */
  /* The gradient: by a kernel of its own (`backward`), or as a composition of
   * ops by the gradient_ functions (`gradient`, which wins). Both null: the op
   * can't be trained through. */
  TamerStatus (*backward)(void* kernel, const TamerBackward* call,
                          TamerError* error);
  TamerStatus (*gradient)(void* user, const TamerParams* params,
                          TamerGradient* gradient, TamerError* error);
  /* Floating-point operations of a run; null: one an output element. */
  double (*flops)(void* user, const TamerKernelSpec* spec);
  /* Inputs and parameters that `tamer plugins check` shall try, as
   * "[B, 6] [B, 6] { units: 4 }"; none: what it thinks of. */
  const char* const* examples;
} TamerOp;

/* ---- Losses and metrics ---- */

enum {
  /* The target is labels, INT32 [B]; otherwise FLOAT like the prediction. */
  TAMER_LOSS_LABELS = 1
};

typedef struct TamerLossCall {
  uint32_t struct_size;
  uint32_t reserved;
  const TamerTensor* prediction; /* [B, ...] */
  const TamerTensor* target;
  float* value; /* to be set: the mean over the minibatch */
  /* Of `value` at the prediction, to be overwritten; null for a metric. */
  const TamerTensor* gradient;
  void* scratch;
} TamerLossCall;

typedef struct TamerLoss {
  uint32_t struct_size;
  uint32_t flags;
  const char* name;
  const char* doc;
  const TamerParam* const* params;
  uint32_t num_params;
  uint32_t reserved;
  void* user;
  /* Inputs of the spec: prediction and target. Null as in TamerOp. */
  TamerStatus (*create)(void* user, const TamerKernelSpec* spec,
                        TamerKernel* kernel, TamerError* error);
  TamerStatus (*run)(void* kernel, const TamerLossCall* call,
                     TamerError* error);
  void (*destroy)(void* kernel);
} TamerLoss;

/* ---- Update rules (solvers) ---- */

/* Some of one parameter's elements. */
typedef struct TamerUpdateCall {
  uint32_t struct_size;
  uint32_t reserved;
  float* parameter; /* to be changed */
  const float* gradient;
  float* const* states; /* one array each, zero at first; to be changed */
  int64_t n;            /* elements of each array */
  float learning_rate;  /* schedule and multipliers applied */
  float weight_decay;   /* 0 where decay isn't wanted; the rule applies it */
  int64_t step;         /* updates of this parameter, this one included: 1, … */
} TamerUpdateCall;

typedef struct TamerUpdateRule {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const char* name;
  const char* doc;
  const TamerParam* const* params;
  uint32_t num_params;
  uint32_t num_states;
  const char* const* states; /* names; saved with the stage */
  void* user;
  TamerStatus (*create)(void* user, const TamerParams* params, void** kernel,
                        TamerError* error);
  /* Works element by element: the host cuts a parameter into pieces, which are
   * updated from several threads at once. */
  TamerStatus (*update)(void* kernel, const TamerUpdateCall* call,
                        TamerError* error);
  void (*destroy)(void* kernel);
} TamerUpdateRule;

/* ---- Data readers ---- */

/* What `open` finds; set by the plugin. */
typedef struct TamerDataset {
  uint32_t struct_size; /* set by the host */
  int32_t type;         /* TAMER_FLOAT or TAMER_UINT8 */
  int64_t samples;
  int64_t dims[8]; /* of one sample */
  int32_t rank;
  int32_t has_labels;
  void* handle; /* the plugin's own */
} TamerDataset;

typedef struct TamerReader {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const char* name; /* "Digits": written reader { [reader/Digits] {} } */
  const char* doc;
  const TamerParam* const* params;
  uint32_t num_params;
  uint32_t reserved;
  void* user;
  TamerStatus (*open)(void* user, const TamerParams* params,
                      TamerDataset* dataset, TamerError* error);
  /* Samples begin … begin + count - 1, and their labels if there are any. */
  TamerStatus (*read)(void* handle, int64_t begin, int64_t count,
                      void* samples, int32_t* labels, TamerError* error);
  void (*close)(void* handle);
} TamerReader;

/* ---- Collectives ---- */

typedef struct TamerCollective {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const char* name;
  const char* doc;
  const TamerParam* const* params;
  uint32_t num_params;
  uint32_t reserved;
  void* user;
  TamerStatus (*join)(void* user, const TamerParams* params, void** group,
                      int32_t* rank, int32_t* size, TamerError* error);
  /* In place; every rank gets the same bits, by a fixed order of the ranks. */
  TamerStatus (*all_reduce_sum)(void* group, float* data, int64_t n,
                                TamerError* error);
  TamerStatus (*broadcast)(void* group, void* data, int64_t bytes,
                           int32_t root, TamerError* error);
  TamerStatus (*barrier)(void* group, TamerError* error);
  void (*leave)(void* group);
  /* The same of numbers that bfloat16 can hold; sums are rounded to it. Null:
   * the host rounds what all_reduce_sum gives. */
  TamerStatus (*all_reduce_sum_bf16)(void* group, float* data, int64_t n,
                                     TamerError* error);
  /* This rank fails: what others wait for must not wait for ever. Or null. */
  void (*abandon)(void* group);
  /* Each rank's `bytes`, which stand in its own `all` at rank * bytes, to the
   * same place in everybody's. Null: by as many broadcasts. */
  TamerStatus (*all_gather)(void* group, void* all, int64_t bytes,
                            TamerError* error);
} TamerCollective;

/* ---- The host's services ---- */

typedef struct TamerHost {
  uint32_t struct_size;
  uint32_t abi_version;
  const char* version; /* Tamer's own */

  /* Notes what went wrong; returns TAMER_FAILED. From any callback. */
  TamerStatus (*fail)(TamerError* error, const char* text);

  /* Values of the parameters, by their place in the table; a parameter not
   * written has its default. Texts live as long as the callback. */
  double (*param_float)(const TamerParams* params, uint32_t index);
  int64_t (*param_int)(const TamerParams* params, uint32_t index);
  const char* (*param_string)(const TamerParams* params, uint32_t index);
  uint32_t (*param_count)(const TamerParams* params, uint32_t index);
  double (*param_float_at)(const TamerParams* params, uint32_t index,
                           uint32_t i);
  int64_t (*param_int_at)(const TamerParams* params, uint32_t index,
                          uint32_t i);

  /* In `infer`. Adding returns TAMER_FAILED and notes the error by itself. */
  uint32_t (*inference_num_inputs)(const TamerInference* inference);
  const TamerTensor* (*inference_input)(const TamerInference* inference,
                                        uint32_t i);
  TamerStatus (*inference_add_output)(TamerInference* inference, int32_t type,
                                      const int64_t* dims, int32_t rank);
  TamerStatus (*inference_add_variable)(TamerInference* inference,
                                        const TamerVariable* variable);

  /* Calls body(context, begin, end) on ranges that cover [0, n), on the threads
   * that Tamer computes with; ranges hold `grain` elements or more. How it is cut
   * depends on the threads, so each element's result must not. */
  void (*parallel_for)(int64_t n, int64_t grain,
                       void (*body)(void* context, int64_t begin, int64_t end),
                       void* context);
  /* Counter-based random numbers: the same for the same key, step and index on
   * every run, on any number of threads, after every resume. */
  void (*fill_uniform)(uint64_t key, uint64_t step, int64_t n, float* out);
  void (*fill_gaussian)(uint64_t key, uint64_t step, int64_t n, float* out);

  /* In `gradient`: values go by name; inputs, then variables, share one count.
   * Names live as long as the callback. "" where nothing flows. */
  const char* (*gradient_input)(TamerGradient* gradient, uint32_t i);
  const char* (*gradient_output)(TamerGradient* gradient, uint32_t i);
  const char* (*gradient_of_output)(TamerGradient* gradient, uint32_t i);
  int32_t (*gradient_wanted)(TamerGradient* gradient, uint32_t i);
  /* Adds a node of op `op` with parameters in protobuf text ("factor: -1"), and
   * returns the name of its first output (NAME:1 is the second); null if it
   * cannot be, the error being noted. */
  const char* (*gradient_emit)(TamerGradient* gradient, const char* suffix,
                               const char* op, const char* params,
                               const char* const* inputs, uint32_t num_inputs);
  void (*gradient_set)(TamerGradient* gradient, uint32_t i, const char* value);
} TamerHost;

/* ---- The plugin ---- */

/* What a capability's query returns: `count` tables of its kind. */
typedef struct TamerList {
  uint32_t struct_size;
  uint32_t count;
  const void* const* items;
} TamerList;

#define TAMER_CAPABILITY_OPS "tamer.ops"                 /* TamerOp */
#define TAMER_CAPABILITY_LOSSES "tamer.losses"           /* TamerLoss */
#define TAMER_CAPABILITY_METRICS "tamer.metrics"         /* TamerLoss */
#define TAMER_CAPABILITY_UPDATES "tamer.updates"         /* TamerUpdateRule */
#define TAMER_CAPABILITY_READERS "tamer.readers"         /* TamerReader */
#define TAMER_CAPABILITY_COLLECTIVES "tamer.collectives" /* TamerCollective */

typedef struct TamerPlugin {
  uint32_t struct_size;
  uint32_t abi_version;  /* TAMER_ABI_VERSION of the header compiled with */
  uint32_t min_host_abi; /* the oldest host that will do; 1 for most */
  uint32_t reserved;
  const char* name;
  const char* version;
  const char* description;
  /* The list of that capability, or null if the plugin doesn't have it. */
  const TamerList* (*query)(const char* capability);
} TamerPlugin;

/* The one exported function, called once a process. `host` lives as long as the
 * process. Returns null only if the plugin cannot work at all. */
TAMER_PLUGIN_EXPORT const TamerPlugin* tamer_plugin_entry(
    const TamerHost* host);

#ifdef __cplusplus
}
#endif

#endif /* TAMER_PLUGIN_H_ */
