#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/passes/passes.h"
#include "core/plan/plan.h"
#include "tools/cli/commands.h"
#include "tools/cli/memory.h"
#include "tools/cli/output.h"
#include "tools/cli/scaling.h"
#include "tools/cli/source.h"
#include "tools/text/products.h"

namespace tamer {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string after;
  bool memory = false;
  bool parallel = false;
  int64_t batch = 0;
  bool json = false;
};

// Elements of a node's own variables, and their bytes.
struct OwnSize {
  int64_t elements = 0, bytes = 0;
};

OwnSize SizeOfOwn(const Graph& graph, const Node& node) {
  OwnSize size;
  if (!node.share_with.empty()) return size;
  for (ValueId id : node.variables) {
    const TensorType& type = graph.value(id).type;
    size.elements += type.shape.elements();
    size.bytes += type.shape.elements() * SizeOf(type.dtype);
  }
  return size;
}

std::string Shapes(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<std::string> shapes;
  for (ValueId id : ids) {
    shapes.push_back(graph.value(id).type.shape.ToString());
  }
  return absl::StrJoin(shapes, " ");
}

// The graph as JSON; the text is made from it, so the two cannot differ.
absl::StatusOr<nlohmann::ordered_json> Describe(const Graph& graph,
                                                int64_t batch) {
  nlohmann::ordered_json json;
  json["name"] = graph.name();
  json["batch"] = batch;
  json["nodes"] = nlohmann::json::array();
  OwnSize sum;
  double flops = 0;
  for (const Node& node : graph.nodes()) {
    const OwnSize own = SizeOfOwn(graph, node);
    const double cost = node.op->Flops(BoundSpec(graph, node, batch));
    json["nodes"].push_back({{"name", node.name},
                             {"op", node.op->name()},
                             {"inputs", Shapes(graph, node.inputs)},
                             {"outputs", Shapes(graph, node.outputs)},
                             {"parameters", own.elements},
                             {"flops", cost}});
    sum.elements += own.elements;
    sum.bytes += own.bytes;
    flops += cost;
  }
  TAMER_ASSIGN_OR_RETURN(const Graph arranged, Layout(graph));
  Variables variables;
  PlanOptions options;
  options.batch = batch;
  TAMER_ASSIGN_OR_RETURN(const auto plan,
                         Plan::Compile(graph, options, &variables));
  json["parameters"] = sum.elements;
  json["parameter_bytes"] = sum.bytes;
  json["flops"] = flops;
  json["reorders"] = std::count_if(
      arranged.nodes().begin(), arranged.nodes().end(),
      [](const Node& node) { return node.op->name() == "Reorder"; });
  json["planned_bytes"] = plan->arena_bytes();
  json["unplanned_bytes"] = plan->unplanned_bytes();
  return json;
}

void Print(const nlohmann::ordered_json& json) {
  Table table({"node", "op", "inputs", "outputs", "parameters", "MFLOP"});
  for (const auto& node : json["nodes"]) {
    table.Add({node["name"].get<std::string>(), node["op"].get<std::string>(),
               node["inputs"].get<std::string>(),
               node["outputs"].get<std::string>(),
               WithCommas(node["parameters"].get<int64_t>()),
               absl::StrFormat("%.3f", node["flops"].get<double>() / 1e6)});
  }
  std::printf("%s", table.ToString().c_str());
  std::printf(
      "\n%s variables (%s); %.3f MFLOP at batch %d; memory for values %s "
      "planned, %s without reuse\n",
      WithCommas(json["parameters"].get<int64_t>()).c_str(),
      BytesText(json["parameter_bytes"].get<int64_t>()).c_str(),
      json["flops"].get<double>() / 1e6, json["batch"].get<int>(),
      BytesText(json["planned_bytes"].get<int64_t>()).c_str(),
      BytesText(json["unplanned_bytes"].get<int64_t>()).c_str());
  const int64_t reorders = json["reorders"].get<int64_t>();
  if (reorders > 0) {
    std::printf("%d reorders of images where convolutions meet other ops\n",
                static_cast<int>(reorders));
  }
  if (json.contains("stages")) {
    std::printf("\n%s", MemoryTable(json["stages"]).c_str());
  }
}

void PrintProduct(const nlohmann::ordered_json& json) {
  for (const char* key : {"path", "id", "stage", "parent", "data_sha256"}) {
    const std::string value = json[key].get<std::string>();
    std::printf("%-12s %s\n", key, value.empty() ? "-" : value.c_str());
  }
  std::printf("%-12s %d\n%-12s %d\n", "generation",
              json["generation"].get<int>(), "epochs",
              json["epochs"].get<int>());
  if (json.contains("metrics")) {
    for (const auto& metric : json["metrics"].items()) {
      std::printf("%-12s %s\n", metric.key().c_str(),
                  NumberText(metric.value().get<double>()).c_str());
    }
  }
  std::printf("\n");
}

// The memory of several recipes or networks.
absl::Status RunMemory(const Options& options, const OpRegistry& registry) {
  nlohmann::ordered_json all = nlohmann::json::array();
  for (const std::string& file : options.files) {
    TAMER_ASSIGN_OR_RETURN(const NamedNetwork named,
                           OpenNetwork(file, registry));
    all.push_back({{"file", file}, {"stages", MemoryOf(named, options.batch)}});
    if (options.json) continue;
    std::printf("%s\n%s\n", file.c_str(),
                MemoryTable(all.back()["stages"]).c_str());
  }
  if (options.json) std::printf("%s\n", all.dump(2).c_str());
  return absl::OkStatus();
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  if (options.memory) return RunMemory(options, registry);
  if (options.files.size() > 1) {
    return Invalid("describe tells of one file; of several with --memory");
  }
  TAMER_ASSIGN_OR_RETURN(const NamedNetwork named,
                         OpenNetwork(options.files[0], registry));
  if (options.parallel) {
    TAMER_ASSIGN_OR_RETURN(const auto stages, ScalingOf(named, options.batch));
    std::printf("%s\n", options.json ? stages.dump(2).c_str()
                                     : ScalingTable(stages).c_str());
    return absl::OkStatus();
  }
  Graph graph = named.network;
  if (!options.after.empty()) {
    TAMER_ASSIGN_OR_RETURN(graph, AfterPass(named, options.after));
  }
  const int64_t batch =
      options.batch > 0 ? options.batch : named.recipe.def.batch_size();
  TAMER_ASSIGN_OR_RETURN(auto json, Describe(graph, batch));
  if (!named.product.id.empty()) {
    json["product"] = ProductJson(named.product);
    if (!options.json) PrintProduct(json["product"]);
  }
  if (named.has_recipe && options.after.empty()) {
    json["stages"] = MemoryOf(named, options.batch);
  }
  if (options.json) {
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    Print(json);
  }
  return absl::OkStatus();
}

}  // namespace

void AddDescribe(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app->add_subcommand("describe",
                          "A table of nodes, shapes, parameters and FLOPs, and "
                          "the planned memory, of a recipe for each stage.");
  command
      ->add_option("file", options->files,
                   "A network, a recipe, a product or a run directory; with "
                   "--memory several.")
      ->required();
  command->add_option("--after", options->after,
                      "After a pass: infer, STAGE or STAGE/LAYER.");
  command
      ->add_option("--batch", options->batch,
                   "Samples in a minibatch; the recipe's, or 10.")
      ->check(CLI::Range(1, 1 << 20));
  command->add_flag("--memory", options->memory,
                    "Only memory, for each stage.");
  command->add_flag("--parallel", options->parallel,
                    "How training by many workers would scale: a step measured "
                    "here, averaging computed for several networks.");
  command->add_flag("--json", options->json, "Print as JSON.");
  command->footer("Example: tamer describe examples/fashion_dbn/network.pbtxt");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
