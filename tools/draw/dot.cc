#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tools/draw/draw.h"
#include "tools/draw/picture.h"
#include "tools/text/numbers.h"

namespace tamer {
namespace {

using Box = Picture::Box;
using Arrow = Picture::Arrow;

// Room is reckoned by Helvetica's letters, which Graphviz knows without any
// font being installed. What shows the picture may have wider ones, so the
// SVG's style sets all texts but the legend somewhat smaller than they are
// here.
constexpr char kHead[] = R"(
  graph [fontname="Helvetica,Arial,sans-serif", fontsize=14, rankdir=TB,
         nodesep=0.3, ranksep=0.32, pad=0.25, labeljust=l, labelloc=t,
         newrank=true];
  node [fontname="Helvetica,Arial,sans-serif", fontsize=11, shape=box,
        style="filled,rounded", margin="0.16,0.06", height=0.3];
  edge [fontname="Helvetica,Arial,sans-serif", fontsize=10, arrowsize=0.6,
        color="#8a8f98", fontcolor="#5a606b"];
)";

std::string Quote(const std::string& text) {
  return "\"" +
         absl::StrReplaceAll(text,
                             {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}) +
         "\"";
}

std::string Html(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string BorderStyle(Picture::Training training) {
  switch (training) {
    case Picture::kTrained:
      return "penwidth=2.6";
    case Picture::kFrozen:
      return "penwidth=1.2, style=\"filled,rounded,dashed\"";
    default:
      return "penwidth=1";
  }
}

std::string BoxText(const Box& box, int number) {
  std::string label = box.name;
  for (const std::string& line : box.lines) absl::StrAppend(&label, "\n", line);
  if (box.training == Picture::kTrained) absl::StrAppend(&label, "\ntrained");
  if (box.training == Picture::kFrozen) absl::StrAppend(&label, "\nfrozen");
  std::string text = absl::StrCat("b", number, " [label=", Quote(label),
                                  ", tooltip=", Quote(box.tooltip));
  if (box.family == nullptr) {
    absl::StrAppend(&text,
                    ", shape=ellipse, style=filled, fillcolor=\"#ffffff\", "
                    "color=\"#6b7280\", margin=\"0.1,0.03\", class=input");
  } else {
    absl::StrAppend(&text, ", fillcolor=\"", box.family->fill, "\", color=\"",
                    box.family->border, "\", ", BorderStyle(box.training));
    if (box.result) absl::StrAppend(&text, ", peripheries=2");
  }
  return text + "];\n";
}

// A frame, its boxes, and the frames inside it.
void AddFrame(const Picture& picture, int frame, const std::string& indent,
              std::string* text) {
  for (size_t i = 0; i < picture.boxes.size(); ++i) {
    if (picture.boxes[i].frame != frame) continue;
    absl::StrAppend(text, indent,
                    BoxText(picture.boxes[i], static_cast<int>(i)));
  }
  for (size_t i = 0; i < picture.frames.size(); ++i) {
    if (picture.frames[i].parent != frame) continue;
    absl::StrAppend(text, indent, "subgraph cluster_", i, " {\n", indent,
                    "  label=", Quote(picture.frames[i].title),
                    "; style=\"rounded,filled\"; color=\"#c3c9d4\"; "
                    "fillcolor=\"#f7f8fa\"; fontcolor=\"#4a5160\"; "
                    "margin=10;\n");
    AddFrame(picture, static_cast<int>(i), indent + "  ", text);
    absl::StrAppend(text, indent, "}\n");
  }
}

std::string ArrowText(const Picture& picture, const Arrow& arrow) {
  const auto line = [&](int from, int to, const std::string& attributes) {
    return absl::StrCat(
        "  b", from, " -> b", to, " [tooltip=",
        Quote(absl::StrCat(picture.boxes[arrow.from].name, " → ",
                           picture.boxes[arrow.to].name,
                           arrow.shape.empty() ? "" : ": ", arrow.shape)),
        attributes, "];\n");
  };
  // The blanks keep it off the arrow where letters are wider than foreseen.
  const std::string label = ", label=" + Quote("  " + arrow.shape + "  ");
  // Arrows that may run level bear no label: Graphviz 2.42 frees memory twice
  // if such a one is in the first row.
  switch (arrow.kind) {
    case Arrow::kBack:
      return line(arrow.to, arrow.from, ", dir=back, weight=4" + label);
    case Arrow::kParameter:
      return line(arrow.from, arrow.to,
                  ", style=dotted, weight=0, class=parameter");
    case Arrow::kRepeat:
      return line(arrow.from, arrow.to,
                  ", style=dashed, constraint=false, class=repeat");
    case Arrow::kFlow:
      break;
  }
  // Updates stand in the line of what they take.
  if (picture.boxes[arrow.to].update) {
    return line(arrow.from, arrow.to, ", minlen=0");
  }
  return line(arrow.from, arrow.to, ", weight=8" + label);
}

void AddSwatch(const std::string& color, const std::string& name,
               std::string* text) {
  absl::StrAppend(text, "<td align=\"left\"><font color=\"", color,
                  "\">■</font><font point-size=\"9\">&#160;", name,
                  "&#160;&#160;&#160;</font></td>");
}

// The graph's title, and which colour and border means what.
std::string Legend(const Picture& picture) {
  std::map<std::string, std::string> families;
  int64_t parameters = 0, nodes = 0;
  std::set<Picture::Training> training;
  bool repeats = false, borrowed = false;
  for (const Box& box : picture.boxes) {
    if (box.family != nullptr) families[box.family->name] = box.family->border;
    parameters += box.parameters;
    nodes += box.nodes;
    training.insert(box.training);
  }
  for (const Arrow& arrow : picture.arrows) {
    repeats |= arrow.kind == Arrow::kRepeat;
    borrowed |= arrow.kind == Arrow::kParameter;
  }
  std::string text = absl::StrCat(
      "<<table border=\"0\" cellborder=\"0\" cellspacing=\"3\" "
      "cellpadding=\"1\"><tr><td colspan=\"3\" align=\"left\"><font "
      "point-size=\"16\"><b>",
      Html(picture.title), "</b></font></td></tr>",
      "<tr><td colspan=\"3\" align=\"left\"><font point-size=\"10\">",
      WithCommas(nodes), " nodes, ", WithCommas(parameters),
      " parameters</font></td></tr><tr>");
  int column = 0;
  for (const auto& family : families) {
    if (column == 3) absl::StrAppend(&text, "</tr><tr>");
    column = column % 3 + 1;
    AddSwatch(family.second, family.first, &text);
  }
  absl::StrAppend(&text, families.empty() ? "<td></td>" : "", "</tr>");
  std::string signs = "double border: a result";
  if (training.count(Picture::kTrained) > 0) {
    signs += "; thick: trained; dashed: frozen";
  }
  if (borrowed) signs += "; dotted arrow: parameters";
  if (repeats) signs += "; dashed arrow: to the next repeat";
  absl::StrAppend(
      &text, "<tr><td colspan=\"3\" align=\"left\"><font point-size=\"9\">",
      signs, "</font></td></tr></table>>");
  return text;
}

}  // namespace

std::string Dot(const Graph& graph, const DrawOptions& options) {
  const Picture picture = MakePicture(graph, options);
  std::string text = absl::StrCat("digraph ", Quote(picture.title), " {", kHead,
                                  "  label=", Legend(picture), ";\n");
  AddFrame(picture, -1, "  ", &text);
  for (const Arrow& arrow : picture.arrows) {
    absl::StrAppend(&text, ArrowText(picture, arrow));
  }
  return text + "}\n";
}

}  // namespace tamer
