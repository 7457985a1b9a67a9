#ifndef TAMER_CORE_GRAPH_EXPAND_H_
#define TAMER_CORE_GRAPH_EXPAND_H_

#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tamer {

// A graph's message with its includes taken in and its blocks written out, and
// what was wrong on the way.
struct ExpandedGraph {
  GraphDef def;  // has neither include nor block
  GraphLocations locations;
  std::vector<std::string> faults;
  std::vector<std::string> lost;  // see TextParse
};

// Of a text, or of a message already parsed; `file` is its name in faults, and
// includes are relative to its folder.
ExpandedGraph ExpandText(const std::string& text, const std::string& file,
                         const OpRegistry& registry);
ExpandedGraph ExpandDef(const GraphDef& def, const std::string& file,
                        const OpRegistry& registry);

}  // namespace tamer

#endif  // TAMER_CORE_GRAPH_EXPAND_H_
