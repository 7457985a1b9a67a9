#ifndef TAMER_TOOLS_DRAW_LABELS_H_
#define TAMER_TOOLS_DRAW_LABELS_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"

// What boxes say.

namespace tamer {

// The op with its settings, "Dense · units 500, SIGMOID", and the shapes of its
// parameters or of what it updates.
std::vector<std::string> NodeLines(const Graph& graph, const Node& node);

// All of it, for who points at the box.
std::string NodeTooltip(const Graph& graph, const Node& node);

// "9 nodes" and "198,272 parameters", or without the second.
std::vector<std::string> BlockLines(int64_t nodes, int64_t parameters);

// "h1/weight" of grad/h1/weight, where the frames around it (of the groups
// `shown`) don't name h1.
std::string NameInFrame(const std::string& name,
                        const std::vector<std::string>& shown,
                        const Graph& graph);

}  // namespace tamer

#endif  // TAMER_TOOLS_DRAW_LABELS_H_
