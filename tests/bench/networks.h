#ifndef TAMER_TESTS_BENCH_NETWORKS_H_
#define TAMER_TESTS_BENCH_NETWORKS_H_

// The networks of the jobs, as text.

namespace tamer {

constexpr char kMlp[] = R"(
  input { name: "pixels" shape: [784] }
  node { name: "h1" input: "pixels" op { [op/Dense] { units: 500 activation: SIGMOID } } }
  node { name: "h2" input: "h1" op { [op/Dense] { units: 250 activation: SIGMOID } } }
  node { name: "logits" input: "h2" op { [op/Dense] { units: 10 } } }
  output: "logits")";

// examples/mnist_dbn.
constexpr char kDbn[] = R"(
  input { name: "pixels" shape: [784] }
  node { name: "d0" input: "pixels" op { [op/Dropout] { rate: 0.25 } } }
  node { name: "h1" input: "d0" op { [op/Dense] { units: 500 activation: SIGMOID } } }
  node { name: "d1" input: "h1" op { [op/Dropout] { rate: 0.2 } } }
  node { name: "h2" input: "d1" op { [op/Dense] { units: 500 activation: SIGMOID } } }
  node { name: "d2" input: "h2" op { [op/Dropout] { rate: 0.2 } } }
  node { name: "h3" input: "d2" op { [op/Dense] { units: 2000 activation: SIGMOID } } }
  node { name: "d3" input: "h3" op { [op/Dropout] { rate: 0.4 } } }
  node { name: "logits" input: "d3" op { [op/Dense] { units: 10 } } }
  output: "logits")";

// examples/lenet without its dropout.
constexpr char kLenet[] = R"(
  input { name: "pixels" shape: [1, 28, 28] }
  node { name: "c1" input: "pixels" op { [op/Conv2D] { filters: 20 kernel: 5 } } }
  node { name: "p1" input: "c1" op { [op/MaxPool] { kernel: 2 } } }
  node { name: "c2" input: "p1" op { [op/Conv2D] { filters: 50 kernel: 5 } } }
  node { name: "p2" input: "c2" op { [op/MaxPool] { kernel: 2 } } }
  node { name: "flat" input: "p2" op { [op/Flatten] {} } }
  node { name: "h" input: "flat" op { [op/Dense] { units: 500 activation: RELU } } }
  node { name: "logits" input: "h" op { [op/Dense] { units: 10 } } }
  output: "logits")";

// Sequences of 50 vectors, classified by what an LSTM remembers of them.
constexpr char kLstm[] = R"(
  input { name: "x" shape: [50, 64] }
  node { name: "h" input: "x" op { [op/Lstm] { units: 128 last: true } } }
  node { name: "logits" input: "h" op { [op/Dense] { units: 10 } } }
  output: "logits")";

// Causal, pre-norm: 4 blocks of 128 on contexts of 128 bytes.
constexpr char kTransformer[] = R"(
  input { name: "tokens" type: INT32 shape: [128] }
  block {
    name: "layer"
    input: "x"
    node { name: "norm1" input: "x" op { [op/LayerNorm] {} } }
    node { name: "qkv" input: "norm1" op { [op/Dense] { units: 384 } } }
    node { name: "attention" input: "qkv" op { [op/Attention] { heads: 4 causal: true } } }
    node { name: "out" input: "attention" op { [op/Dense] { units: 128 } } }
    node { name: "sum1" input: "x" input: "out" op { [op/Add] {} } }
    node { name: "norm2" input: "sum1" op { [op/LayerNorm] {} } }
    node { name: "up" input: "norm2" op { [op/Dense] { units: 512 activation: GELU } } }
    node { name: "down" input: "up" op { [op/Dense] { units: 128 } } }
    node { name: "sum2" input: "sum1" input: "down" op { [op/Add] {} } }
    output: "sum2"
  }
  node { name: "embedding" input: "tokens" op { [op/Embedding] { vocabulary: 256 width: 128 } } }
  node { name: "positions" input: "embedding" op { [op/PositionEmbedding] {} } }
  node { name: "layers" input: "positions" block: "layer" repeat: 4 }
  node { name: "norm" input: "layers" op { [op/LayerNorm] {} } }
  node { name: "logits" input: "norm" op { [op/Dense] { units: 256 } } }
  output: "logits")";

// examples/resnet without its dropout.
constexpr char kResnet[] = R"(
  input { name: "pixels" shape: [1, 28, 28] }
  block {
    name: "same16"
    input: "in"
    node { name: "c1" input: "in" op { [op/Conv2D] { filters: 16 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n1" input: "c1" op { [op/BatchNorm] { activation: RELU } } }
    node { name: "c2" input: "n1" op { [op/Conv2D] { filters: 16 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n2" input: "c2" input: "in" op { [op/BatchNorm] { activation: RELU } } }
    output: "n2"
  }
  block {
    name: "same32"
    input: "in"
    node { name: "c1" input: "in" op { [op/Conv2D] { filters: 32 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n1" input: "c1" op { [op/BatchNorm] { activation: RELU } } }
    node { name: "c2" input: "n1" op { [op/Conv2D] { filters: 32 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n2" input: "c2" input: "in" op { [op/BatchNorm] { activation: RELU } } }
    output: "n2"
  }
  block {
    name: "same64"
    input: "in"
    node { name: "c1" input: "in" op { [op/Conv2D] { filters: 64 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n1" input: "c1" op { [op/BatchNorm] { activation: RELU } } }
    node { name: "c2" input: "n1" op { [op/Conv2D] { filters: 64 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n2" input: "c2" input: "in" op { [op/BatchNorm] { activation: RELU } } }
    output: "n2"
  }
  block {
    name: "down32"
    input: "in"
    node { name: "skip" input: "in" op { [op/Conv2D] { filters: 32 kernel: 1 stride: 2 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "ns" input: "skip" op { [op/BatchNorm] {} } }
    node { name: "c1" input: "in" op { [op/Conv2D] { filters: 32 kernel: 3 stride: 2 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n1" input: "c1" op { [op/BatchNorm] { activation: RELU } } }
    node { name: "c2" input: "n1" op { [op/Conv2D] { filters: 32 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n2" input: "c2" input: "ns" op { [op/BatchNorm] { activation: RELU } } }
    output: "n2"
  }
  block {
    name: "down64"
    input: "in"
    node { name: "skip" input: "in" op { [op/Conv2D] { filters: 64 kernel: 1 stride: 2 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "ns" input: "skip" op { [op/BatchNorm] {} } }
    node { name: "c1" input: "in" op { [op/Conv2D] { filters: 64 kernel: 3 stride: 2 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n1" input: "c1" op { [op/BatchNorm] { activation: RELU } } }
    node { name: "c2" input: "n1" op { [op/Conv2D] { filters: 64 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
    node { name: "n2" input: "c2" input: "ns" op { [op/BatchNorm] { activation: RELU } } }
    output: "n2"
  }
  node { name: "stem" input: "pixels" op { [op/Conv2D] { filters: 16 kernel: 3 padding: SAME bias: false weight_init { he {} } } } }
  node { name: "norm" input: "stem" op { [op/BatchNorm] { activation: RELU } } }
  node { name: "a" input: "norm" block: "same16" }
  node { name: "b" input: "a" block: "down32" }
  node { name: "c" input: "b" block: "same32" }
  node { name: "d" input: "c" block: "down64" }
  node { name: "e" input: "d" block: "same64" }
  node { name: "mean" input: "e" op { [op/GlobalAveragePool] {} } }
  node { name: "logits" input: "mean" op { [op/Dense] { units: 10 } } }
  output: "logits")";

}  // namespace tamer

#endif  // TAMER_TESTS_BENCH_NETWORKS_H_
