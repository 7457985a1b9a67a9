#ifndef TAMER_CORE_INTERCHANGE_ONNX_READ_TABLES_H_
#define TAMER_CORE_INTERCHANGE_ONNX_READ_TABLES_H_

#include <map>
#include <string>

#include "core/interchange/onnx_reader.h"

namespace tamer {

// If a node computes with whole constants or shapes alone: does so, and tells.
bool FoldConstants(OnnxReader& reader);

// Writes "Gelu" in place of the nodes that compute it.
void RecogniseGelu(onnx::GraphProto* model);

using OnnxRead = void (*)(OnnxReader&);
using OnnxReadTable = std::map<std::string, OnnxRead>;

// The tables, a family each.
OnnxReadTable BasicReaders();
OnnxReadTable ProductReaders();
OnnxReadTable ImageReaders();
OnnxReadTable ShapeReaders();
OnnxReadTable ReduceReaders();
OnnxReadTable RecurrentReaders();

}  // namespace tamer

#endif  // TAMER_CORE_INTERCHANGE_ONNX_READ_TABLES_H_
