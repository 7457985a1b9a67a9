#ifndef TAMER_TOOLS_DRAW_DRAW_H_
#define TAMER_TOOLS_DRAW_DRAW_H_

#include <string>

#include "core/graph/graph.h"

// Graphs as pictures, laid out by Graphviz.
//
// Boxes are operations, coloured by family (a legend names those that occur);
// inputs are ellipses; an arrow bears the shape of what flows along it. What
// the graph trains has a thick border, what it leaves frozen a dashed one.
// Blocks are framed. Gradients stand beside what they are of and flow upwards,
// updates beside the gradients that they take.

namespace tamer {

struct DrawOptions {
  // Blocks inside more blocks than this are a box each. -1: as many as keep the
  // picture readable.
  int depth = -1;
  // Whether equal blocks in a row are drawn once, with their number, an arrow
  // leading from each to the next.
  bool merge_repeats = true;
};

// The picture in Graphviz's language.
std::string Dot(const Graph& graph, const DrawOptions& options);

// The picture itself, light or dark as its viewer's page is. No font of this
// machine has a part in it.
absl::StatusOr<std::string> Svg(const Graph& graph, const DrawOptions& options);

}  // namespace tamer

#endif  // TAMER_TOOLS_DRAW_DRAW_H_
