#ifndef TAMER_TOOLS_DRAW_PICTURE_H_
#define TAMER_TOOLS_DRAW_PICTURE_H_

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "tools/draw/draw.h"
#include "tools/draw/families.h"

namespace tamer {

// What is to be drawn, before anything has a place: boxes in frames, and arrows
// between them.
struct Picture {
  // Whether the graph trains a box's parameters; kHeld where it trains nothing.
  enum Training { kNone, kHeld, kFrozen, kTrained };
  struct Box {
    std::string name;
    std::vector<std::string> lines;  // below the name
    std::string tooltip;
    const Family* family = nullptr;  // null: an input of the graph
    Training training = kNone;
    bool result = false;  // whether it makes an output of the graph
    bool update = false;
    int frame = -1;
    int64_t nodes = 0, parameters = 0;  // that stand in it
  };
  // A block, or a kind of nodes that a pass made.
  struct Frame {
    std::string title;
    int parent = -1;
  };
  struct Arrow {
    enum Kind {
      kFlow,
      kBack,       // from one gradient to the next: against the layout's order
      kParameter,  // another node's parameters are read
      kRepeat,     // from one of a block's repeats to the next
    };
    int from = 0, to = 0;
    Kind kind = kFlow;
    std::string shape;
  };
  std::string title;
  std::vector<Box> boxes;
  std::vector<Frame> frames;
  std::vector<Arrow> arrows;
};

Picture MakePicture(const Graph& graph, const DrawOptions& options);

// "B×784" of [B, 784]; "" of a scalar.
std::string ShapeText(const Shape& shape);

}  // namespace tamer

#endif  // TAMER_TOOLS_DRAW_PICTURE_H_
