#ifndef TAMER_TOOLS_DRAW_OUTLINE_H_
#define TAMER_TOOLS_DRAW_OUTLINE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tamer {

// The variables that some other node than their owner changes: what a training
// graph trains. None in a network as it is written.
std::set<ValueId> TrainedVariables(const Graph& graph);

// A graph's nodes as the slashes in their names group them, "enc.3/attn/qkv",
// with equal groups NAME.i, NAME.i+1, … found.
class Outline {
 public:
  Outline(const Graph& graph, const std::set<ValueId>& trained,
          bool merge_repeats);

  // The groups that a node stands in, outermost first; as they are, and as they
  // are drawn: by the first of its like.
  struct Place {
    std::vector<std::string> own, shown;
  };
  const Place& place(NodeId id) const { return places_[id]; }

  // Of a drawn group (its parts joined by slashes), the last of those that it
  // stands for, and how many these are.
  struct Run {
    std::string last;
    int count = 1;
  };
  Run run(const std::string& shown) const;

 private:
  struct Group {
    std::vector<NodeId> nodes;
    std::vector<std::string> order;  // of children, as they first occur
    std::map<std::string, Group> children;
    std::string signature;
  };
  void Sign(const Graph& graph, const std::set<ValueId>& trained,
            const std::string& path, Group* group);
  void Merge(const Group& group, const std::string& own,
             const std::string& shown, bool merge_repeats);

  std::vector<Place> places_;
  std::map<std::string, std::string> shown_;  // by own path
  std::map<std::string, Run> runs_;           // by shown path
};

}  // namespace tamer

#endif  // TAMER_TOOLS_DRAW_OUTLINE_H_
