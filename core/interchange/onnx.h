#ifndef TAMER_CORE_INTERCHANGE_ONNX_H_
#define TAMER_CORE_INTERCHANGE_ONNX_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/plan/variables.h"

// Networks in the Open Neural Network Exchange format (onnx.ai), which other
// frameworks and runtimes read. How an op is written stands in a table of
// functions in onnx_write_*.cc, how an operator is read in onnx_read_*.cc.

namespace tamer {

// Facts that travel with a model, as names and texts.
using OnnxFacts = std::map<std::string, std::string>;

// Writes `network`, one for prediction (see Infer), with its parameters. The
// batch is a dimension of any size; images have channels first. The file is
// checked by ONNX's own checker and appears whole or not at all. An op without
// a counterpart is an error that names its node and says what to do.
absl::Status WriteOnnx(const std::string& path, const Graph& network,
                       const Variables& variables, const OnnxFacts& facts);

// Whether ops of that name can be written.
bool HasOnnxCounterpart(const std::string& op);

// A model as a network whose layers own their parameters, and so can be trained
// on, and the parameters' values.
struct OnnxModel {
  Graph network;
  Variables variables;
  OnnxFacts facts;

  explicit OnnxModel(const OpRegistry* registry) : network(registry) {}
};

// Reads a model. Its inputs' first dimension is the batch where it is open; if
// it is open in none, the first one of each is taken for it all the same if
// `first_is_batch`. An operator that can't be expressed is an error that names
// it and the node. Nothing in the file is trusted: it may come from anybody.
absl::StatusOr<OnnxModel> ReadOnnx(const std::string& path,
                                   const OpRegistry& registry,
                                   bool first_is_batch = true);

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_ONNX_H_
