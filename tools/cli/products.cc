#include "tools/text/products.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/graph/text.h"
#include "core/train/files.h"
#include "core/train/product.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

struct ListOptions {
  std::vector<std::string> folders = {"runs"};
  bool json = false;
};

struct DiffOptions {
  std::string a, b;
  bool json = false;
};

// The products in these folders and one level below: run directories, or
// folders of them.
std::vector<ProductInfo> Gather(const std::vector<std::string>& folders,
                                std::string* complaint) {
  std::vector<ProductInfo> products;
  for (const std::string& folder : folders) {
    std::vector<std::string> places = {folder};
    for (const std::string& name : ListFolder(folder)) {
      places.push_back(JoinPath(folder, name));
    }
    for (const std::string& place : places) {
      for (ProductInfo& info : ListProducts(place, complaint)) {
        products.push_back(std::move(info));
      }
    }
  }
  return products;
}

MetricValues MetricsOf(const ManifestDef& manifest) {
  MetricValues metrics;
  for (const MetricDef& metric : manifest.metric()) {
    metrics.emplace_back(metric.name(), metric.value());
  }
  return metrics;
}

// What a person looks for first: results on test data, or how well it restores.
std::string ShortMetrics(const ManifestDef& manifest) {
  MetricValues shown;
  for (const char* wanted : {"test_", "accuracy", "reconstruction_error"}) {
    for (const auto& metric : MetricsOf(manifest)) {
      if (absl::StrContains(metric.first, wanted)) shown.push_back(metric);
    }
    if (!shown.empty()) break;
  }
  return MetricsText(shown);
}

std::string FolderOf(const ProductInfo& info) {
  return info.path.substr(0, info.path.rfind('/'));
}

// Whether `child` was made from `parent`, and not from its like in a folder of
// its own: the same run done twice gives the same products.
bool IsChild(const std::vector<ProductInfo>& products, const ProductInfo& child,
             const ProductInfo& parent) {
  if (child.manifest.parent_id() != parent.id) return false;
  if (FolderOf(child) == FolderOf(parent)) return true;
  for (const ProductInfo& other : products) {
    if (other.id == parent.id && FolderOf(other) == FolderOf(child)) {
      return false;
    }
  }
  return true;
}

// A product and, below it and further right, what was made from it.
void AddTree(const std::vector<ProductInfo>& products, size_t at, int depth,
             std::set<size_t>* shown, Table* table) {
  if (!shown->insert(at).second) return;
  const ProductInfo& info = products[at];
  table->Add({absl::StrCat(std::string(2 * depth, ' '), depth > 0 ? "`- " : "",
                           info.manifest.stage()),
              info.id, absl::StrCat(info.manifest.generation()),
              absl::StrCat(EpochsOf(info.manifest)),
              info.manifest.data_sha256().substr(0, 8),
              ShortMetrics(info.manifest), info.path});
  for (size_t i = 0; i < products.size(); ++i) {
    if (IsChild(products, products[i], info)) {
      AddTree(products, i, depth + 1, shown, table);
    }
  }
}

absl::Status List(const ListOptions& options) {
  std::string complaint;
  const std::vector<ProductInfo> products = Gather(options.folders, &complaint);
  if (!complaint.empty()) std::fprintf(stderr, "%s", complaint.c_str());
  if (options.json) {
    Json json = Json::array();
    for (const ProductInfo& info : products) json.push_back(ProductJson(info));
    std::printf("%s\n", json.dump(2).c_str());
    return absl::OkStatus();
  }
  if (products.empty()) {
    return absl::NotFoundError("there are no products here; see tamer train");
  }
  std::set<std::string> ids;
  for (const ProductInfo& info : products) ids.insert(info.id);
  Table table(
      {"stage", "id", "generation", "epochs", "data", "metrics", "path"});
  std::set<size_t> shown;
  for (size_t i = 0; i < products.size(); ++i) {
    if (ids.count(products[i].manifest.parent_id()) == 0) {
      AddTree(products, i, 0, &shown, &table);
    }
  }
  std::printf("%s", table.ToString().c_str());
  return absl::OkStatus();
}

std::string Show(double value) { return NumberText(value); }

// How far one tensor is from another, and how long each is.
struct Distance {
  double a = 0, b = 0, difference = 0;
};

Distance Compare(const Tensor& a, const Tensor& b) {
  Distance result;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.floats()[i], y = b.floats()[i];
    result.a += x * x;
    result.b += y * y;
    result.difference += (x - y) * (x - y);
  }
  result.a = std::sqrt(result.a);
  result.b = std::sqrt(result.b);
  result.difference = std::sqrt(result.difference);
  return result;
}

std::string ShapeOf(const std::map<std::string, Tensor>& tensors,
                    const std::string& name) {
  const auto it = tensors.find(name);
  return it == tensors.end() ? "-" : it->second.shape.ToString();
}

// Lines of one text that the other lacks, in order.
std::vector<std::string> Missing(const std::string& from,
                                 const std::string& in) {
  std::map<std::string, int> counts;
  for (absl::string_view line : absl::StrSplit(in, '\n')) {
    ++counts[std::string(line)];
  }
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(from, '\n')) {
    if (--counts[std::string(line)] < 0) lines.emplace_back(line);
  }
  return lines;
}

absl::Status Diff(const DiffOptions& options, const OpRegistry& registry) {
  TAMER_ASSIGN_OR_RETURN(const ProductInfo a_info,
                         FindProductOrRun(options.a, registry));
  TAMER_ASSIGN_OR_RETURN(const ProductInfo b_info,
                         FindProductOrRun(options.b, registry));
  TAMER_ASSIGN_OR_RETURN(const LoadedProduct a, LoadProduct(a_info));
  TAMER_ASSIGN_OR_RETURN(const LoadedProduct b, LoadProduct(b_info));
  Json json;
  json["a"] = ProductJson(a_info);
  json["b"] = ProductJson(b_info);
  std::map<std::string, std::array<std::string, 2>> metrics;
  for (const auto& metric : MetricsOf(a.info.manifest)) {
    metrics[metric.first][0] = Show(metric.second);
  }
  for (const auto& metric : MetricsOf(b.info.manifest)) {
    metrics[metric.first][1] = Show(metric.second);
  }
  std::set<std::string> names;
  for (const auto& entry : a.tensors) names.insert(entry.first);
  for (const auto& entry : b.tensors) names.insert(entry.first);
  Table table({"parameter", "a", "b", "|a|", "|b|", "|a - b|", "relative"});
  for (const std::string& name : names) {
    const auto x = a.tensors.find(name), y = b.tensors.find(name);
    const bool both = x != a.tensors.end() && y != b.tensors.end() &&
                      x->second.shape == y->second.shape &&
                      x->second.dtype == DType::kFloat &&
                      y->second.dtype == DType::kFloat;
    Json entry;
    std::vector<std::string> cells = {name, ShapeOf(a.tensors, name),
                                      ShapeOf(b.tensors, name)};
    if (both) {
      const Distance d = Compare(x->second, y->second);
      cells.insert(
          cells.end(),
          {Show(d.a), Show(d.b), Show(d.difference),
           d.difference == 0 ? "same"
                             : Show(d.difference / std::max(d.a, 1e-30))});
      entry["difference"] = d.difference;
    }
    entry["a"] = cells[1];
    entry["b"] = cells[2];
    json["parameters"][name] = entry;
    table.Add(cells);
  }
  const std::string a_text = PrintText(a.info.manifest.recipe(), registry);
  const std::string b_text = PrintText(b.info.manifest.recipe(), registry);
  json["recipe"]["a"] = Missing(a_text, b_text);
  json["recipe"]["b"] = Missing(b_text, a_text);
  if (options.json) {
    std::printf("%s\n", json.dump(2).c_str());
    return absl::OkStatus();
  }
  std::printf("a: %s (%s)\nb: %s (%s)\n\n", a_info.path.c_str(),
              a_info.id.c_str(), b_info.path.c_str(), b_info.id.c_str());
  std::printf("%s\n", table.ToString().c_str());
  Table shown({"metric", "a", "b"});
  for (const auto& metric : metrics) {
    shown.Add({metric.first, metric.second[0], metric.second[1]});
  }
  if (!metrics.empty()) std::printf("%s\n", shown.ToString().c_str());
  for (const auto& line : json["recipe"]["a"]) {
    std::printf("recipe a: %s\n", line.get<std::string>().c_str());
  }
  for (const auto& line : json["recipe"]["b"]) {
    std::printf("recipe b: %s\n", line.get<std::string>().c_str());
  }
  if (SameMessage(a.info.manifest.graph(), b.info.manifest.graph())) {
    std::printf("the networks are the same\n");
  } else {
    std::printf("the networks differ\n");
  }
  return absl::OkStatus();
}

}  // namespace

void AddProducts(CLI::App* app, const OpRegistry*, Outcome* outcome) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = app->add_subcommand(
      "products", "List products by lineage, with their metrics.");
  command->add_option("folders", options->folders,
                      "Run directories, or folders of them; runs.");
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer("Example: tamer products runs");
  command->callback([options, outcome] {
    if (outcome->status.ok()) outcome->status = List(*options);
  });
}

void AddDiff(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app->add_subcommand(
      "diff", "Compare two products: parameters, metrics, recipes.");
  command->add_option("a", options->a, "A product or run.")->required();
  command->add_option("b", options->b, "Another.")->required();
  command->add_flag("--json", options->json, "Print JSON.");
  command->footer(
      "Example: tamer diff runs/mnist-dbn/features runs/mnist-dbn/digits");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Diff(*options, *registry);
  });
}

}  // namespace tamer
