#include "tools/report/report.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "core/graph/text.h"
#include "core/train/files.h"
#include "core/train/product.h"
#include "core/train/recipe.h"
#include "tools/draw/draw.h"
#include "tools/report/confusion.h"
#include "tools/report/images.h"
#include "tools/report/run_log.h"
#include "tools/text/products.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

// "runs/mnist" and "runs/mnist/" are called "mnist".
std::string NameOf(std::string run) {
  while (run.size() > 1 && run.back() == '/') run.pop_back();
  return run.substr(run.rfind('/') + 1);
}

// The network as text and as a picture.
absl::Status AddNetwork(const RunDef& def, const OpRegistry& registry,
                        Json* run) {
  TAMER_ASSIGN_OR_RETURN(const Graph graph,
                         Graph::FromDef(def.graph(), &registry));
  (*run)["network"]["text"] = PrintGraph(graph);
  (*run)["network"]["nodes"] = graph.nodes().size();
  int64_t parameters = 0;
  for (ValueId id : graph.variables()) {
    if (!graph.variable_spec(id).trainable) continue;
    parameters += graph.value(id).type.shape.elements();
  }
  (*run)["network"]["parameters"] = parameters;
  TAMER_ASSIGN_OR_RETURN(const std::string svg, Svg(graph, {}));
  // Within a page its own style would be the page's; the page has one for it.
  const size_t style = svg.find("<style>"), end = svg.find("</style>");
  const size_t root = svg.find("<svg");
  if (style != std::string::npos && end != std::string::npos) {
    (*run)["network"]["svg"] =
        svg.substr(root, style - root) + svg.substr(end + 8);
  }
  return absl::OkStatus();
}

void Note(const absl::Status& status, Json* run) {
  if (!status.ok()) (*run)["notes"].push_back(std::string(status.message()));
}

absl::Status AddConfusion(Product* product, const Dataset* data, int threads,
                          Json* run) {
  if (data == nullptr) return absl::OkStatus();
  ThreadOptions options;
  options.intra_op = threads;
  Scheduler scheduler(options);
  TAMER_ASSIGN_OR_RETURN(Json confusion, Confusion(product, *data, &scheduler));
  if (!confusion.is_null()) (*run)["confusion"] = std::move(confusion);
  return absl::OkStatus();
}

// Of each stage the newest product's filters, and of the last one's what it
// takes for what.
void AddPictures(const std::vector<ProductInfo>& products,
                 const OpRegistry& registry, const ReportOptions& options,
                 const std::vector<std::string>& stages, Json* run) {
  (*run)["filters"] = Json::array();
  for (const std::string& stage : stages) {
    const ProductInfo* newest = nullptr;
    for (const ProductInfo& info : products) {
      if (info.manifest.stage() == stage) newest = &info;
    }
    if (newest == nullptr) continue;
    auto product = OpenProduct(newest->path, registry);
    if (!product.ok()) {
      Note(product.status(), run);
      continue;
    }
    const Recipe recipe{(*product)->manifest.recipe(), (*product)->path,
                        (*product)->folder};
    const auto data = LoadStageData(recipe, (*product)->stage(), &registry);
    if (!data.ok()) Note(data.status(), run);
    Json filters = FirstFilters(
        **product, data.ok() ? data->train.get() : nullptr, options.filters);
    if (!filters.is_null()) {
      filters["stage"] = stage;
      filters["product"] = newest->id;
      (*run)["filters"].push_back(std::move(filters));
    }
    if (!data.ok() || stage != stages.back()) continue;
    const auto& tested = data->test != nullptr ? data->test : data->validation;
    Note(AddConfusion(product->get(), tested.get(), options.threads, run), run);
  }
}

absl::StatusOr<Json> RunJson(const std::string& path,
                             const OpRegistry& registry,
                             const ReportOptions& options) {
  const std::string file = JoinPath(path, "run.pbtxt");
  if (!Exists(file)) {
    return absl::NotFoundError(absl::StrCat(
        path, ": no run directory (it has no run.pbtxt); see tamer train"));
  }
  TAMER_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  RunDef def;
  TAMER_RETURN_IF_ERROR(ParseText(text, file, registry, &def));
  Json run;
  run["name"] = NameOf(path);
  run["path"] = path;
  run["version"] = def.tamer_version();
  run["machine"] = def.machine();
  run["recipe"] = PrintText(def.recipe(), registry);
  run["recipe_file"] = def.recipe_file();
  run["notes"] = Json::array();
  run["stages"] = Json::array();
  std::vector<std::string> stages;
  for (const StageDef& stage : def.recipe().stage()) {
    stages.push_back(stage.name());
    run["stages"].push_back(
        {{"name", stage.name()},
         {"kind", stage.has_pretrain() ? "pretraining" : "fine-tuning"}});
  }
  Note(AddNetwork(def, registry, &run), &run);
  run["phases"] = ReadPhases(path);
  run["finished"] = ReadFinished(path);
  run["histograms"] = ReadHistograms(path);
  std::string complaint;
  const std::vector<ProductInfo> products = ListProducts(path, &complaint);
  if (!complaint.empty()) run["notes"].push_back(complaint);
  run["products"] = Json::array();
  for (const ProductInfo& info : products) {
    run["products"].push_back(ProductJson(info));
  }
  if (options.pictures) {
    AddPictures(products, registry, options, stages, &run);
  }
  const auto advice = options.advice.find(path);
  if (advice == options.advice.end()) return run;
  for (const ReportAdvice& one : advice->second) {
    run["advice"].push_back({{"rule", one.rule},
                             {"severity", one.severity},
                             {"text", one.text},
                             {"mend", one.mend}});
  }
  return run;
}

// Runs whose folders are called the same are told apart by their paths.
void TellApart(Json* runs) {
  std::map<std::string, int> names;
  for (const Json& run : *runs) ++names[run["name"]];
  for (Json& run : *runs) {
    if (names[run["name"]] > 1) run["name"] = run["path"];
  }
}

}  // namespace

absl::StatusOr<Json> ReportData(const std::vector<std::string>& runs,
                                const OpRegistry& registry,
                                const ReportOptions& options) {
  Json data;
  data["runs"] = Json::array();
  std::set<std::string> seen;
  for (const std::string& path : runs) {
    if (!seen.insert(path).second) continue;
    TAMER_ASSIGN_OR_RETURN(Json run, RunJson(path, registry, options));
    data["runs"].push_back(std::move(run));
  }
  TellApart(&data["runs"]);
  return data;
}

}  // namespace tamer
