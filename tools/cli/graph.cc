#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/source.h"
#include "tools/draw/draw.h"

namespace tamer {
namespace {

struct Options {
  std::string file;
  std::string after;
  std::string output;
  int depth = -1;
  bool svg = false, dot = false;
  bool all_repeats = false;
  bool fused = false;
  bool json = false;
};

// What is asked for.
absl::StatusOr<std::string> TextOf(const Options& options, Graph graph) {
  if (!options.after.empty() && (options.svg || options.dot)) {
    graph.set_name(absl::StrCat(graph.name(), ", ", options.after));
  }
  const DrawOptions draw{options.depth, !options.all_repeats};
  if (options.svg) return Svg(graph, draw);
  if (options.dot) return Dot(graph, draw);
  return PrintGraph(graph);
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
  TAMER_ASSIGN_OR_RETURN(const std::string text, TextOf(options, graph));
  if (!options.output.empty()) {
    TAMER_RETURN_IF_ERROR(ReplaceFile(options.output, text));
  }
  if (options.json) {
    nlohmann::ordered_json json = {{"name", graph.name()},
                                   {"nodes", graph.nodes().size()},
                                   {"format", options.svg   ? "svg"
                                              : options.dot ? "dot"
                                                            : "pbtxt"},
                                   {"passes", PassNames(named)}};
    if (options.output.empty()) {
      json["text"] = text;
    } else {
      json["output"] = options.output;
    }
    std::printf("%s\n", json.dump(2).c_str());
  } else if (options.output.empty()) {
    std::printf("%s", text.c_str());
  } else {
    std::printf("written: %s\n", options.output.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddGraph(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "graph", "Print or draw a network, or what a pass makes of it.");
  command
      ->add_option("file", options->file,
                   "A network, a recipe, a product or a run directory.")
      ->required();
  command->add_option("--after", options->after,
                      "The pass: infer; of a recipe, STAGE (fine-tuning) or "
                      "STAGE/LAYER (pretraining).");
  auto* svg =
      command->add_flag("--svg", options->svg, "Draw it, as an SVG picture.");
  command
      ->add_flag("--dot", options->dot,
                 "Draw it, in Graphviz's language, to be laid out by you.")
      ->excludes(svg);
  command->add_option("--output", options->output,
                      "The file to write instead of printing.");
  command
      ->add_option("--depth", options->depth,
                   "In pictures, blocks inside so many others are a box each; "
                   "if not given, as deep as stays readable.")
      ->check(CLI::Range(0, 100));
  command->add_flag("--all-repeats", options->all_repeats,
                    "In pictures, draw each repeat of a block instead of one "
                    "with their number.");
  command->add_flag("--fused", options->fused,
                    "Show it as it runs: fused, in the recipe's precision.");
  command->add_flag("--json", options->json, "Print as JSON.");
  command->footer(
      "Example: tamer graph examples/fashion_dbn/recipe.pbtxt --after labels "
      "--svg --output labels.svg");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
