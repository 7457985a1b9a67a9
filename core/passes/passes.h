#ifndef TAMER_CORE_PASSES_PASSES_H_
#define TAMER_CORE_PASSES_PASSES_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "proto/precision.pb.h"
#include "proto/recipe.pb.h"

// Graph rewrites. Each takes a checked graph and gives a new one; the result
// can be printed, read again, drawn and compiled like any other.
//
// Names that passes give. Inputs: "labels" or "targets" (what the loss compares
// with), "learning_rate" and "momentum" (scalars, set each step by the
// trainer). Outputs: "loss", and the loss's metric "accuracy" or "rmse" if it
// has one. Nodes: gradients "grad/NODE/…", updates "update/VARIABLE". A network
// that uses such a name itself gets an error.

namespace tamer {

// For prediction: without dropout and the like, and without what no output
// needs.
absl::StatusOr<Graph> Infer(const Graph& network);

// A network for prediction that reads tokens, INT32 [B, T], as one that reads
// the next `tokens` of them: its causal Attention keeps keys and values of all
// positions before in variables (see op/CachedAttention), and input "position",
// INT32 [], says how many these are. Logits are the whole network's. An error
// if some op's answer at a position depends on others in another way.
inline constexpr char kDecodePosition[] = "position";
absl::StatusOr<Graph> Decode(const Graph& network, int64_t tokens);

// The same graph with less to do, its outputs and variables unchanged: a
// product of matrices that only an update reads goes into the update, a row sum
// too; an activation's gradient into the product before it. Updates come as
// early as may be. What nothing needs any more is left out. With BF16, products
// get that precision. Then Layout. The last pass before a Plan is compiled.
absl::StatusOr<Graph> Fuse(const Graph& graph, Precision precision = FP32);

// The same graph with channels last in images where convolutions are, and nodes
// "reorder/VALUE" at the borders; core/op/layout.h has the rules.
absl::StatusOr<Graph> Layout(const Graph& graph);

// The network with the value called `value` as an input instead of computed,
// what only it needed being left out. Parameters keep their names.
absl::StatusOr<Graph> CutBelow(const Graph& network, const std::string& value);

// The Dense nodes of a network for prediction that gain from 8-bit integers, in
// its order: those with 4,096 weights or more (and at most 65,793 inputs, whose
// products fit into 32 bits) whose parameters no other op reads.
std::vector<std::string> Quantizable(const Graph& network);

// The least and the greatest number that a node's input was seen to hold.
struct InputRange {
  float low = 0, high = 0;
};

// The network with the nodes that `ranges` names, which are of Quantizable(),
// as QuantizedDense instead of Dense. A range, widened to hold 0, is cut in 255
// equal steps; what lies beyond it will be taken for its end. Names of nodes
// and values stay; NODE/weight becomes INT8, and NODE/weight_scale is added.
absl::StatusOr<Graph> Quantize(const Graph& network,
                               const std::map<std::string, InputRange>& ranges);

// From the weights [in, units] of a Dense node those of its QuantizedDense,
// INT8 [in, units], and their scales, FLOAT [units]: each unit's largest
// becomes 127 or -127, the rest in proportion, rounded with halves to even. An
// error if a weight is not finite.
absl::Status QuantizeWeight(const Tensor& weight, const Tensor& quantized,
                            const Tensor& scales);

// Infer, and the loss and its metric as outputs beside the network's own: what
// evaluation runs.
absl::StatusOr<Graph> Evaluate(const Graph& network,
                               const FinetuneDef& finetune);

// What a further metric of `finetune` is called: its op's name in small
// letters.
std::string MetricName(const google::protobuf::Any& metric);

// The network with loss, metric, gradients (reverse mode), clipping and an
// update node for each trainable parameter that is not frozen in `epoch`,
// counted from 1. Outputs: loss and metric. With `mixed` samples a loss of
// labels compares with "targets" instead, each class's share of a sample.
absl::StatusOr<Graph> Finetune(const Graph& network,
                               const FinetuneDef& finetune,
                               const SolverDef& solver, int64_t epoch = 1,
                               bool mixed = false);

// The epochs, counted from 1, with which Finetune's graph changes because more
// is unfrozen; the first is 1.
std::vector<int64_t> UnfreezingEpochs(const Graph& network,
                                      const FinetuneDef& finetune);

// The network with a low-rank adapter in each Dense node that `adapters` names
// (all that are not in `fresh` if it names none): the node becomes its parts,
// its parameters keep their names, and "NODE/lora_a" [in, rank] and
// "NODE/lora_b" [rank, units] are added. Hu et al. 2022, "LoRA: low-rank
// adaptation of large language models". `frozen` gets the nodes' names, for
// FinetuneDef.freeze.
absl::StatusOr<Graph> Adapt(const Graph& network, const AdaptersDef& adapters,
                            const std::vector<std::string>& fresh,
                            std::vector<std::string>* frozen);
float AdapterScale(const AdaptersDef& adapters);

// One layer's step of a pretraining stage, by its method. What is learned
// beside the network's own parameters bears names that IsPretrained() knows.
//
// rbm: up to the node, forward only; the layers below are frozen and run as for
//   prediction. The Dense node's weight [in, units] and bias serve as W and
//   hidden bias; "NODE/visible_bias" [in] is added. Hinton 2002, "Training
//   products of experts by minimizing contrastive divergence"; Tieleman 2008
//   for persistent chains, whose states are the variable "rbm/NODE/particles";
//   details after Hinton 2010, "A practical guide to training restricted
//   Boltzmann machines": hidden states are sampled when driven by data,
//   reconstructions and the last hidden update use probabilities (section 3),
//   persistent chains samples. A Conv2D node's statistics are its gradients,
//   its visible bias [channels]. Lee et al. 2009.
// autoencoder: the same, with a decoder and backpropagation through these two
//   layers. Bengio et al. 2007; Vincent et al. 2010 (denoising); Rifai et al.
//   2011 (contractive).
// unrolled: a whole stack and its mirror image. Hinton and Salakhutdinov 2006.
// masked, rotation, labels: the network up to the node, a head "pretext/head"
//   that is dropped afterwards, and backpropagation through all. Vincent et al.
//   2010 and Devlin et al. 2019; Gidaris et al. 2018.
// masked_patches: the same, where the network from `tokens` on sees but the
//   tokens that op/RandomKeep keeps. He et al. 2022.
// contrastive: the same on two views of each sample, stacked to [2B]. Chen et
//   al. 2020.
// masked_tokens, causal: the same with logits for each token. Devlin et al.
//   2019; Radford et al. 2018.
// up_down: a deep belief net as a whole, by contrastive wake-sleep. Hinton,
//   Osindero and Teh 2006.
//
// Outputs: "reconstruction_error", the mean squared difference between data and
// reconstruction, and for what has one "loss" and "accuracy".
absl::StatusOr<Graph> Pretrain(const Graph& network, const PretrainLayer& layer,
                               const SolverDef& solver);

// Whether the method learns its node alone, on what those below make of the
// data.
bool LearnsOneLayer(const PretrainLayer& layer);

// Whether a variable is one that pretraining leaves beside the network's own:
// biases and weights downwards, which generation needs.
bool IsPretrained(const std::string& name);

// What a parameter begins with that data or another parameter determines, when
// `unless` has no value from earlier pretraining.
struct StartValue {
  enum Rule {
    kConstant,
    kMean,         // of each unit of the layer's input over the data
    kLogitOfMean,  // log(p / (1 - p)) of it
    kTransposed,   // of matrix `source`
  };
  std::string variable;
  std::string unless;
  Rule rule = kConstant;
  std::string source;
  float constant = 0;
};
std::vector<StartValue> StartValues(const Graph& network,
                                    const PretrainLayer& layer);

// What an RBM is watched by. Outputs, a number a sample each: "free_energy",
// and for Bernoulli units "binary_free_energy" and "flipped_free_energy", of
// the data sampled to bits and of the same with one random bit flipped (whose
// difference gives the pseudo-likelihood); and the node's activities.
absl::StatusOr<Graph> MonitorRbm(const Graph& network,
                                 const PretrainLayer& layer);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_PASSES_H_
