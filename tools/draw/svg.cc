#include <graphviz/gvc.h>

#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "tools/draw/draw.h"

// Graphviz finds its parts by configuration files that an installation may lack
// or have otherwise; these two are linked instead.
extern "C" {
extern gvplugin_library_t gvplugin_core_LTX_library;
extern gvplugin_library_t gvplugin_dot_layout_LTX_library;
}

namespace tamer {
namespace {

// Names stand out from what is said below them. On a dark page the ground and
// what stands on it turn round; boxes keep their colours.
constexpr char kStyle[] = R"(<style>
.node text { font-size: 9px; }
.node text:first-of-type { font-size: 11px; font-weight: bold; }
.cluster text { font-size: 11px; font-weight: bold; }
.edge text { font-size: 8.5px; }
@media (prefers-color-scheme: dark) {
  :root { background: #14171c; }
  .graph > polygon:first-of-type { fill: #14171c; }
  .graph > text:not([fill]) { fill: #e4e7ec; }
  .cluster > path, .cluster > polygon { fill: #1c2027; stroke: #434b59; }
  .cluster > text, .cluster > g > text { fill: #c9d0dc; }
  .edge text { fill: #aab2c0; }
}
</style>
)";

struct Freed {
  void operator()(GVC_t* context) const { gvFreeContext(context); }
  void operator()(Agraph_t* graph) const { agclose(graph); }
};

std::unique_ptr<GVC_t, Freed> NewContext() {
  static lt_symlist_t parts[] = {
      {"gvplugin_core_LTX_library", &gvplugin_core_LTX_library},
      {"gvplugin_dot_layout_LTX_library", &gvplugin_dot_layout_LTX_library},
      {nullptr, nullptr}};
  return std::unique_ptr<GVC_t, Freed>(gvContextPlugins(parts, 0));
}

absl::StatusOr<std::string> Render(const std::string& dot) {
  const std::unique_ptr<GVC_t, Freed> context = NewContext();
  if (context == nullptr) return absl::InternalError("Graphviz doesn't start");
  agseterr(AGERR);  // its warnings are of labels' sizes
  const std::unique_ptr<Agraph_t, Freed> graph(agmemread(dot.c_str()));
  if (graph == nullptr) {
    return absl::InternalError(
        absl::StrCat("Graphviz cannot read the drawing: ", aglasterr()));
  }
  if (gvLayout(context.get(), graph.get(), "dot") != 0) {
    return absl::InternalError(
        absl::StrCat("Graphviz cannot lay out the drawing: ", aglasterr()));
  }
  char* data = nullptr;
  unsigned length = 0;
  const int failed =
      gvRenderData(context.get(), graph.get(), "svg", &data, &length);
  std::string svg(data == nullptr ? "" : data, length);
  gvFreeRenderData(data);
  gvFreeLayout(context.get(), graph.get());
  if (failed != 0 || svg.empty()) {
    return absl::InternalError("Graphviz cannot write the drawing as SVG");
  }
  return svg;
}

}  // namespace

absl::StatusOr<std::string> Svg(const Graph& graph,
                                const DrawOptions& options) {
  static std::mutex one_at_a_time;  // Graphviz has global state
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  TAMER_ASSIGN_OR_RETURN(std::string svg, Render(Dot(graph, options)));
  // Behind the opening tag.
  const size_t root = svg.find("<svg");
  const size_t end = root == std::string::npos ? root : svg.find('>', root);
  if (end == std::string::npos) {
    return absl::InternalError("Graphviz wrote something that is no SVG");
  }
  svg.insert(end + 1, absl::StrCat("\n", kStyle));
  return svg;
}

}  // namespace tamer
