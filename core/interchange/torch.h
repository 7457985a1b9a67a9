#ifndef TAMER_CORE_INTERCHANGE_TORCH_H_
#define TAMER_CORE_INTERCHANGE_TORCH_H_

#include <deque>
#include <map>
#include <string>

#include "core/graph/graph.h"
#include "core/plan/variables.h"

// Parameters as PyTorch has them, for files of safetensors: its names
// ("fc1.weight"), and its layouts (a Linear's weight is [out, in]).

namespace tamer {

// Names of ours and of the file: of a parameter ("h1/weight"), or of a node
// ("h1"), whose parameters then all go by the other's.
using NameMap = std::map<std::string, std::string>;

// Reads a line `OURS THEIRS` each; # begins a remark.
absl::StatusOr<NameMap> ReadNameMap(const std::string& path);

// Tensors and the memory that was made for them.
struct NamedTensors {
  std::map<std::string, Tensor> tensors;
  std::deque<Buffer> memory;
};

// The parameters of `network` under their names in the file, each in PyTorch's
// layout if `torch`, else as they are. An LSTM's forget_bias goes into its
// bias, which PyTorch has in two.
absl::StatusOr<NamedTensors> ToFile(const Graph& network,
                                    const Variables& variables,
                                    const NameMap& names, bool torch);

// The reverse: fills `variables` with all parameters of `network` from the
// tensors of a file. Missing ones, ones of other shapes and ones that nothing
// needs are errors, all told at once.
absl::Status FromFile(const Graph& network,
                      const std::map<std::string, Tensor>& file,
                      const NameMap& names, bool torch, Variables* variables);

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_TORCH_H_
