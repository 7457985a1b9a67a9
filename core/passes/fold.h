#ifndef TAMER_CORE_PASSES_FOLD_H_
#define TAMER_CORE_PASSES_FOLD_H_

#include <functional>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tamer {

// A BatchNorm that went into the layer before it.
struct FoldedNorm {
  std::string layer, norm;  // their nodes
  float epsilon = 0;
  bool filters_first = false;  // a convolution's weight; else Dense's
};

// A network for prediction (see Infer) with as many of its BatchNorm nodes as
// possible within the Conv1D to Conv3D or Dense node before: the norm's node
// becomes such a layer with the norm's activation, NORM/weight and NORM/bias,
// and the layer's own node is left out. For this nobody else may read the
// layer's result or share its parameters, it must be linear, and the norm have
// no residual. `folded` gets those folded; FoldWeights makes their parameters.
absl::StatusOr<Graph> FoldNorms(const Graph& network,
                                std::vector<FoldedNorm>* folded);

// A variable by name, or null if there is none.
using FindVariable = std::function<const Tensor*(const std::string& name)>;

// Writes NORM/weight and NORM/bias from the layer's and the norm's variables:
// w' = w * scale / sqrt(variance + epsilon), b' = (b - mean) * the same + shift
// (Jacob et al. 2018, section 3.2).
absl::Status FoldWeights(const FoldedNorm& folded, const FindVariable& find,
                         const Tensor& weight, const Tensor& bias);

}  // namespace tamer

#endif  // TAMER_CORE_PASSES_FOLD_H_
