#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_replace.h"
#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "tools/cli/commands.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

struct Options {
  std::string file;
  std::string after;
  std::string format = "pbtxt";
  bool fused = false;
  bool json = false;
};

std::string Quote(const std::string& text) {
  return "\"" + absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}) +
         "\"";
}

// What draws an edge from a value: the node that computes it, or the value
// itself where it is an input or variable.
std::string Source(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return value.kind == Value::kOutput ? graph.node(value.node).name
                                      : value.name;
}

// Graphviz: nodes as boxes, inputs and variables as ellipses, shapes on edges.
std::string Dot(const Graph& graph) {
  std::string text = absl::StrCat(
      "digraph ", Quote(graph.name()),
      " {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];\n",
      "  edge [fontname=\"sans-serif\", fontsize=10];\n");
  for (const Value& value : graph.values()) {
    if (value.kind == Value::kOutput) continue;
    absl::StrAppend(
        &text, "  ", Quote(value.name), " [shape=ellipse, label=",
        Quote(absl::StrCat(value.name, "\\n", value.type.shape.ToString())),
        "];\n");
  }
  for (const Node& node : graph.nodes()) {
    if (node.outputs.empty() && node.inputs.empty()) continue;
    absl::StrAppend(&text, "  ", Quote(node.name), " [label=",
                    Quote(absl::StrCat(node.name, "\\n", node.op->name())),
                    "];\n");
    for (ValueId id : node.AllInputs()) {
      absl::StrAppend(
          &text, "  ", Quote(Source(graph, id)), " -> ", Quote(node.name),
          " [label=", Quote(graph.value(id).type.shape.ToString()), "];\n");
    }
  }
  return absl::StrReplaceAll(text, {{"\\\\n", "\\n"}}) + "}\n";
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const NamedNetwork named,
                         OpenNetwork(options.file, registry));
  Graph graph = named.network;
  if (!options.after.empty()) {
    TAMER_ASSIGN_OR_RETURN(graph, AfterPass(named, options.after));
  }
  if (options.fused) {
    TAMER_ASSIGN_OR_RETURN(graph, Fuse(graph, named.recipe.def.precision()));
  }
  const std::string text =
      options.format == "dot" ? Dot(graph) : PrintGraph(graph);
  if (options.json) {
    nlohmann::ordered_json json = {{"name", graph.name()},
                                   {"nodes", graph.nodes().size()},
                                   {"format", options.format},
                                   {"passes", PassNames(named)},
                                   {"text", text}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s", text.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddGraph(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "graph", "Print a network, or what a pass makes of it.");
  command
      ->add_option("file", options->file,
                   "A network, a recipe, a product or a run directory.")
      ->required();
  command->add_option("--after", options->after,
                      "The pass: infer; of a recipe, STAGE (fine-tuning) or "
                      "STAGE/LAYER (pretraining).");
  command
      ->add_option("--format", options->format, "pbtxt, or dot for Graphviz.")
      ->check(CLI::IsMember({"pbtxt", "dot"}));
  command->add_flag("--fused", options->fused,
                    "Show it as it runs: fused, in the recipe's precision.");
  command->add_flag("--json", options->json, "Print as JSON.");
  command->footer(
      "Example: tamer graph examples/fashion_dbn/recipe.pbtxt --after labels");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
