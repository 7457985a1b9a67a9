#ifndef TAMER_CORE_ADVISE_LAYERS_H_
#define TAMER_CORE_ADVISE_LAYERS_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tamer {

// A node with a weight matrix or filters, as rules see it.
struct Layer {
  const Node* node = nullptr;
  // Elements of a sample that it reads, and that it makes.
  int64_t inputs = 0, outputs = 0;
  // Terms of each of its sums, and sums that each element enters.
  int64_t fan_in = 0, fan_out = 0;
  // Dense: every output is a sum over all inputs.
  bool dense = false;
  // "SIGMOID", "SOFTMAX", …; its own or that of the only node that reads it,
  // noise between them passed over. "LINEAR" if there is none.
  std::string activation = "LINEAR";
  const Node* activation_node = nullptr;
  // Whether normalization follows before the next layer.
  bool normalized = false;
  // The next layer of the chain, through activation, noise and new shapes, if
  // that alone reads it; null at forks, joins and the network's end.
  const Layer* next = nullptr;
  // Whether nothing but activation, noise and new shapes stands between it and
  // a result of the network.
  bool output = false;
  // Its first weights; null if the op doesn't say.
  const VariableSpec* weight = nullptr;
};

// What rules ask of a network.
struct NetworkFacts {
  // In the network's order; `next` points within.
  std::vector<Layer> layers;
  // Of trainable parameters.
  int64_t parameters = 0;
  // Elements of a sample.
  int64_t inputs = 0;
  bool tokens = false;  // it reads numbers of words
  bool recurrent = false;
  bool joins = false;  // some node adds or joins branches
  bool noise = false;  // dropout or the like
  bool normalizes = false;

  const Layer* FindLayer(const std::string& node) const;
  std::vector<const Layer*> Hidden() const;
};
NetworkFacts LookAt(const Graph& network);

}  // namespace tamer

#endif  // TAMER_CORE_ADVISE_LAYERS_H_
