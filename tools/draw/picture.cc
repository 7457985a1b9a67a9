#include "tools/draw/picture.h"

#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tools/draw/labels.h"
#include "tools/draw/outline.h"

namespace tamer {
namespace {

constexpr char kGradients[] = "grad";
constexpr char kUpdates[] = "update";

// More boxes and arrows than these are not taken in at a glance.
constexpr size_t kMostBoxes = 80;
constexpr size_t kMostArrows = 110;

// A list's first `count` parts, as a path.
std::string Path(const std::vector<std::string>& parts, size_t count) {
  return absl::StrJoin(parts.begin(), parts.begin() + count, "/");
}

bool IsGenerated(const std::string& part) {
  return part == kGradients || part == kUpdates;
}

class Painter {
 public:
  Painter(const Graph& graph, const DrawOptions& options, int depth)
      : graph_(graph),
        depth_(depth),
        trained_(TrainedVariables(graph)),
        outline_(graph, trained_, options.merge_repeats) {}

  Picture Paint();

 private:
  using Places = std::vector<std::string>;

  // How many of a node's groups are framed; those inside are one box.
  size_t Framed(const Places& shown) const;
  int BoxOf(NodeId id);
  int InputBox(ValueId id);
  int FrameOf(const Places& shown, size_t count);
  std::string FrameTitle(const Places& shown, size_t count) const;
  void AddTo(Picture::Box* box, const Node& node);
  void AddArrow(ValueId value, NodeId reader);
  void Draw(const Picture::Arrow& arrow);
  bool IsRepeat(NodeId from, NodeId to) const;
  bool Is(NodeId id, const char* kind) const {
    const Places& shown = outline_.place(id).shown;
    return !shown.empty() && shown[0] == kind;
  }

  const Graph& graph_;
  const int depth_;
  const std::set<ValueId> trained_;
  const Outline outline_;
  Picture picture_;
  std::map<std::string, int> boxes_, frames_;
  std::map<std::tuple<int, int, int, std::string>, size_t> arrows_;
};

size_t Painter::Framed(const Places& shown) const {
  size_t most = static_cast<size_t>(depth_);
  if (!shown.empty() && IsGenerated(shown[0])) ++most;
  return std::min(most, shown.size());
}

// "layers.0 – layers.11  (12 times)".
std::string Painter::FrameTitle(const Places& shown, size_t count) const {
  const std::string path = Path(shown, count);
  if (count == 1 && path == kGradients) return "gradients";
  if (count == 1 && path == kUpdates) {
    std::vector<std::string> scalars;
    for (ValueId id : graph_.inputs()) {
      const Value& value = graph_.value(id);
      if (value.type.shape.rank() == 0) scalars.push_back(value.name);
    }
    return scalars.empty() ? "updates"
                           : "updates, by " + absl::StrJoin(scalars, " and ");
  }
  const Outline::Run run = outline_.run(path);
  const std::string& name = shown[count - 1];
  if (run.count == 1) return name;
  return absl::StrCat(name, " – ", run.last, "  (", run.count, " times)");
}

// Groups that bear a node's name (its gradients, the parts that a pass made of
// it) have no frame of their own.
int Painter::FrameOf(const Places& shown, size_t count) {
  if (count == 0) return -1;
  const std::string path = Path(shown, count);
  const auto known = frames_.find(path);
  if (known != frames_.end()) return known->second;
  const int parent = FrameOf(shown, count - 1);
  const size_t skip = IsGenerated(shown[0]) ? 1 : 0;
  const std::string node =
      absl::StrJoin(shown.begin() + skip, shown.begin() + count, "/");
  int frame = parent;
  if (graph_.FindNode(node) < 0) {
    frame = static_cast<int>(picture_.frames.size());
    picture_.frames.push_back({FrameTitle(shown, count), parent});
  }
  return frames_[path] = frame;
}

void Painter::AddTo(Picture::Box* box, const Node& node) {
  ++box->nodes;
  box->update |= !node.Mutates().empty() && node.variables.empty();
  for (ValueId id : node.outputs) {
    for (ValueId result : graph_.outputs()) box->result |= id == result;
  }
  if (!node.share_with.empty()) return;
  for (size_t i = 0; i < node.variables.size(); ++i) {
    if (!node.variable_specs[i].trainable) continue;
    const ValueId id = node.variables[i];
    box->parameters += graph_.value(id).type.shape.elements();
    const Picture::Training own = trained_.empty()         ? Picture::kHeld
                                  : trained_.count(id) > 0 ? Picture::kTrained
                                                           : Picture::kFrozen;
    box->training = std::max(box->training, own);
  }
}

int Painter::BoxOf(NodeId id) {
  const Node& node = graph_.node(id);
  const Outline::Place& place = outline_.place(id);
  const size_t framed = Framed(place.shown);
  const bool whole = framed == place.shown.size();
  std::string key =
      whole ? Path(place.shown, framed) : Path(place.shown, framed + 1);
  const std::string leaf = node.name.substr(node.name.rfind('/') + 1);
  if (whole) key = absl::StrCat(key, "//", leaf);
  const auto known = boxes_.find(key);
  if (known != boxes_.end()) return known->second;
  const int frame = FrameOf(place.shown, framed);
  const int number = static_cast<int>(picture_.boxes.size());
  Picture::Box box;
  box.frame = frame;
  if (whole) {
    // Gradients and updates of one node stand under no frame that names it.
    const bool named = framed == 0 || !IsGenerated(place.shown[0]);
    box.name = named ? leaf : NameInFrame(node.name, place.shown, graph_);
    box.lines = NodeLines(graph_, node);
    box.tooltip = NodeTooltip(graph_, node);
    box.family = &FamilyOf(*node.op);
  } else {
    box.name = FrameTitle(place.shown, framed + 1);
    box.family = &BlockFamily();
  }
  picture_.boxes.push_back(std::move(box));
  return boxes_[key] = number;
}

int Painter::InputBox(ValueId id) {
  const Value& value = graph_.value(id);
  const std::string key = absl::StrCat("///", value.name);
  const auto known = boxes_.find(key);
  if (known != boxes_.end()) return known->second;
  Picture::Box box;
  box.name = value.name;
  box.tooltip = absl::StrCat("input ", value.name, ", ", value.type.ToString());
  picture_.boxes.push_back(std::move(box));
  return boxes_[key] = static_cast<int>(picture_.boxes.size()) - 1;
}

// Whether two nodes stand in different repeats of a block that is drawn once.
bool Painter::IsRepeat(NodeId from, NodeId to) const {
  const Outline::Place& a = outline_.place(from);
  const Outline::Place& b = outline_.place(to);
  for (size_t i = 0; i < a.shown.size() && i < b.shown.size(); ++i) {
    if (a.shown[i] != b.shown[i]) return false;
    if (a.own[i] != b.own[i]) return true;
  }
  return false;
}

void Painter::AddArrow(ValueId id, NodeId reader) {
  const Value& value = graph_.value(id);
  const bool updates = Is(reader, kUpdates);
  Picture::Arrow arrow;
  arrow.shape = ShapeText(value.type.shape);
  if (value.kind == Value::kInput) {
    // Learning rates go to all updates, whose frame says so.
    if (value.type.shape.rank() == 0) return;
    arrow.from = InputBox(id);
  } else {
    // An update's name says what it changes.
    if (value.node == reader || value.node < 0) return;
    if (value.kind == Value::kVariable && updates) return;
    arrow.from = BoxOf(value.node);
  }
  arrow.to = BoxOf(reader);
  if (arrow.from == arrow.to &&
      (value.node < 0 || !IsRepeat(value.node, reader)))
    return;
  if (value.kind == Value::kVariable) {
    arrow.kind = Picture::Arrow::kParameter;
  } else if (value.kind == Value::kOutput) {
    const bool back =
        Is(reader, kGradients) &&
        (Is(value.node, kGradients) || graph_.node(value.node).name == "loss");
    if (IsRepeat(value.node, reader)) {
      arrow.kind = Picture::Arrow::kRepeat;
    } else if (back) {
      arrow.kind = Picture::Arrow::kBack;
    }
  }
  Draw(arrow);
}

// Between a block and another box one arrow stands for all.
void Painter::Draw(const Picture::Arrow& arrow) {
  const auto is_block = [&](int box) {
    return picture_.boxes[box].family == &BlockFamily();
  };
  const bool bundled = is_block(arrow.from) || is_block(arrow.to);
  const auto [known, fresh] =
      arrows_.emplace(std::make_tuple(arrow.from, arrow.to, arrow.kind,
                                      bundled ? "" : arrow.shape),
                      picture_.arrows.size());
  if (fresh) {
    picture_.arrows.push_back(arrow);
  } else if (picture_.arrows[known->second].shape != arrow.shape) {
    picture_.arrows[known->second].shape = "…";
  }
}

Picture Painter::Paint() {
  picture_.title = graph_.name();
  for (size_t id = 0; id < graph_.nodes().size(); ++id) {
    const Node& node = graph_.node(static_cast<NodeId>(id));
    const int box = BoxOf(static_cast<NodeId>(id));
    AddTo(&picture_.boxes[box], node);
    for (ValueId input : node.AllInputs()) {
      AddArrow(input, static_cast<NodeId>(id));
    }
  }
  for (Picture::Box& box : picture_.boxes) {
    if (box.family != &BlockFamily()) continue;
    box.lines = BlockLines(box.nodes, box.parameters);
    box.tooltip = absl::StrCat(box.name, ": ", absl::StrJoin(box.lines, ", "));
  }
  return picture_;
}

}  // namespace

std::string ShapeText(const Shape& shape) {
  if (shape.rank() == 0) return "";
  const std::string text = shape.ToString();
  return absl::StrReplaceAll(text.substr(1, text.size() - 2), {{", ", "×"}});
}

Picture MakePicture(const Graph& graph, const DrawOptions& options) {
  if (options.depth >= 0) {
    return Painter(graph, options, options.depth).Paint();
  }
  size_t deepest = 0;
  for (const Node& node : graph.nodes()) {
    size_t depth = 0;
    for (char c : node.name) depth += c == '/';
    deepest = std::max(deepest, depth);
  }
  Picture picture;
  for (int depth = static_cast<int>(deepest); depth >= 0; --depth) {
    picture = Painter(graph, options, depth).Paint();
    if (picture.boxes.size() <= kMostBoxes &&
        picture.arrows.size() <= kMostArrows) {
      break;
    }
  }
  return picture;
}

}  // namespace tamer
