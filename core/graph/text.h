#ifndef TAMER_CORE_GRAPH_TEXT_H_
#define TAMER_CORE_GRAPH_TEXT_H_

#include <string>

#include "core/graph/graph.h"

// Graphs as files: protobuf text (.pbtxt), where `op { [op/Dense] { units: 5 }
// }` names an op of the registry, or protobuf's binary form (any other ending,
// .pb).

namespace tamer {

// The newest GraphDef.format_version that this binary understands.
inline constexpr int kGraphFormatVersion = 1;

// Reads, expands includes (relative to the file) and blocks, checks and infers.
// The error lists every fault found, a line each, as
// `net.pbtxt:12:3: node "conv1": Conv2D has no parameter "filtrs"; did you …`.
absl::StatusOr<Graph> LoadGraph(const std::string& path,
                                const OpRegistry* registry);

// The same of a text at hand; `file` is its name in messages, and includes are
// relative to its folder.
absl::StatusOr<Graph> ParseGraph(const std::string& text,
                                 const std::string& file,
                                 const OpRegistry* registry);

// The graph as text that ParseGraph takes.
std::string PrintGraph(const Graph& graph);

// Any op's parameters within a message: `[op/Dense] { … }` in text. Reading a
// recipe needs it too, so parsing and printing any message is offered here.
// Errors carry file, line and column and, for unknown names, a suggestion; all
// faults are listed, not just the first. With faults `message` is unspecified.
absl::Status ParseText(const std::string& text, const std::string& file,
                       const OpRegistry& registry,
                       google::protobuf::Message* message);
std::string PrintText(const google::protobuf::Message& message,
                      const OpRegistry& registry);

// The parameter message inside an Any written as above.
absl::StatusOr<std::unique_ptr<OpParams>> UnpackOp(
    const google::protobuf::Any& any, const OpRegistry& registry);
google::protobuf::Any PackOp(const OpParams& params);

// The whole file as a string, or an error that names it.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace tamer

#endif  // TAMER_CORE_GRAPH_TEXT_H_
