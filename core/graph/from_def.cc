// Graph::FromDef: a message of unknown worth to a checked graph, with every
// fault told.

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "core/base/suggest.h"
#include "core/graph/graph.h"
#include "core/graph/text.h"

namespace tamer {
namespace {

constexpr size_t kMostErrors = 100;

class DefChecker {
 public:
  DefChecker(const GraphDef& def, const OpRegistry* registry,
             const GraphLocations& locations)
      : def_(def),
        registry_(registry),
        locations_(locations),
        graph_(registry) {}

  absl::StatusOr<Graph> Check();

 private:
  std::string Where(int i) const;
  // Of the `i`-th of a field's elements: "net.pbtxt:3:1: ".
  std::string Prefix(const std::vector<SourceLocation>& of, int i) const;
  SourceLocation NodeLocation(int i) const;
  void Error(const std::string& text) {
    if (++error_count_ <= kMostErrors) errors_.push_back(text);
  }
  void AddInputs();
  void IndexNodes();
  // The node that computes or owns the value, -2 for an input, -1 for none. By
  // the longest name: "enc/attn/weight" may belong to "enc/attn" or to "enc".
  int Owner(const std::string& value) const;
  void Connect();
  std::vector<int> Order();
  void ReportCycle(const std::vector<int>& waiting);
  absl::Status CheckInputs(int i) const;
  absl::Status AddOne(int i);
  void AddNodes(const std::vector<int>& order);
  void AddOutputs();
  std::string Suggest(const std::string& name) const;

  const GraphDef& def_;
  const OpRegistry* registry_;
  const GraphLocations& locations_;
  Graph graph_;
  std::vector<std::string> errors_;
  size_t error_count_ = 0;
  std::unordered_map<std::string, int> index_;  // node names
  std::unordered_set<std::string> broken_inputs_;
  std::vector<std::vector<int>> readers_;  // of each node
  std::vector<int> waits_;
  std::vector<bool> broken_;
};

std::string DefChecker::Prefix(const std::vector<SourceLocation>& of,
                               int i) const {
  if (i < static_cast<int>(of.size())) return of[i].Prefix();
  return locations_.file.empty() ? "" : locations_.file + ": ";
}

SourceLocation DefChecker::NodeLocation(int i) const {
  return i < static_cast<int>(locations_.nodes.size()) ? locations_.nodes[i]
                                                       : SourceLocation();
}

std::string DefChecker::Where(int i) const {
  return absl::StrCat(Prefix(locations_.nodes, i), "node \"",
                      def_.node(i).name(), "\": ");
}

std::string DefChecker::Suggest(const std::string& name) const {
  if (error_count_ >= kMostErrors) return "";
  std::vector<std::string> names;
  for (const InputDef& input : def_.input()) names.push_back(input.name());
  for (const NodeDef& node : def_.node()) names.push_back(node.name());
  return DidYouMean(name, names);
}

void DefChecker::AddInputs() {
  for (int i = 0; i < def_.input_size(); ++i) {
    const InputDef& input = def_.input(i);
    const std::string where = Prefix(locations_.inputs, i);
    TensorType type;
    type.dtype = input.type() == INT32   ? DType::kInt32
                 : input.type() == UINT8 ? DType::kUint8
                                         : DType::kFloat;
    bool positive = true;
    if (input.batched()) type.shape.push_back(Shape::kBatch);
    for (int64_t dim : input.shape()) {
      type.shape.push_back(dim);
      positive = positive && dim > 0;
    }
    if (!positive) {
      Error(absl::StrCat(where, "input \"", input.name(), "\": the shape [",
                         absl::StrJoin(input.shape(), ", "),
                         "] has a dimension below 1"));
      broken_inputs_.insert(input.name());
      continue;
    }
    const auto added = graph_.AddInput(input.name(), type);
    if (!added.ok()) {
      Error(absl::StrCat(where, added.status().message()));
      broken_inputs_.insert(input.name());
    }
  }
}

void DefChecker::IndexNodes() {
  broken_.assign(def_.node_size(), false);
  for (int i = 0; i < def_.node_size(); ++i) {
    const NodeDef& node = def_.node(i);
    const auto fresh = index_.emplace(node.name(), i);
    if (!fresh.second) {
      const int first = fresh.first->second;
      const int line = NodeLocation(first).line;
      Error(absl::StrCat(Where(i), "the name is taken by another node",
                         line > 0 ? absl::StrCat(" at line ", line) : ""));
      broken_[i] = true;
    } else if (graph_.FindValue(node.name()) >= 0) {
      Error(absl::StrCat(Where(i), "the name is taken by an input"));
      broken_[i] = true;
    }
  }
}

int DefChecker::Owner(const std::string& value) const {
  if (graph_.FindValue(value) >= 0) return -2;
  auto it = index_.find(value);
  if (it != index_.end()) return it->second;
  const size_t colon = value.rfind(':');
  if (colon != std::string::npos) {
    it = index_.find(value.substr(0, colon));
    return it == index_.end() ? -1 : it->second;
  }
  // A parameter: the longest prefix up to a '/' that is a node.
  for (size_t slash = value.rfind('/'); slash != std::string::npos && slash > 0;
       slash = value.rfind('/', slash - 1)) {
    it = index_.find(value.substr(0, slash));
    if (it != index_.end()) return it->second;
  }
  return -1;
}

// Who waits for whom, by names alone.
void DefChecker::Connect() {
  readers_.assign(def_.node_size(), {});
  waits_.assign(def_.node_size(), 0);
  for (int i = 0; i < def_.node_size(); ++i) {
    const NodeDef& node = def_.node(i);
    const auto depend = [&](int owner) {
      if (owner < 0) return;
      readers_[owner].push_back(i);
      ++waits_[i];
    };
    for (const std::string& input : node.input()) {
      const int owner = Owner(input);
      if (owner == -1) {
        // What an input's own fault already explains isn't told again.
        if (broken_inputs_.count(input) == 0) {
          Error(absl::StrCat(Where(i), "input \"", input,
                             "\" is neither a node nor an input",
                             Suggest(input)));
        }
        broken_[i] = true;
      }
      depend(owner);
    }
    if (node.share_with().empty()) continue;
    const auto it = index_.find(node.share_with());
    if (it == index_.end()) {
      Error(absl::StrCat(Where(i), "share_with names no node \"",
                         node.share_with(), "\"", Suggest(node.share_with())));
      broken_[i] = true;
    } else {
      depend(it->second);
    }
  }
}

// Kahn's order, the file's own order where it is free.
std::vector<int> DefChecker::Order() {
  std::priority_queue<int, std::vector<int>, std::greater<int>> ready;
  std::vector<int> waiting = waits_;
  for (int i = 0; i < def_.node_size(); ++i) {
    if (waiting[i] == 0) ready.push(i);
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    order.push_back(i);
    for (int reader : readers_[i]) {
      if (--waiting[reader] == 0) ready.push(reader);
    }
  }
  if (order.size() < static_cast<size_t>(def_.node_size()))
    ReportCycle(waiting);
  return order;
}

// Walks backwards from a node that never became ready: it meets itself again.
void DefChecker::ReportCycle(const std::vector<int>& waiting) {
  std::vector<int> blocked_by(def_.node_size(), -1);
  int start = -1;
  for (int i = 0; i < def_.node_size(); ++i) {
    if (waiting[i] == 0) continue;
    for (int reader : readers_[i]) {
      if (waiting[reader] > 0 && blocked_by[reader] < 0) blocked_by[reader] = i;
    }
  }
  for (int i = 0; i < def_.node_size() && start < 0; ++i) {
    if (waiting[i] > 0 && blocked_by[i] >= 0) start = i;
  }
  if (start < 0) return;
  for (int i = 0; i < def_.node_size(); ++i) start = blocked_by[start];
  std::vector<std::string> path = {def_.node(start).name()};
  constexpr size_t kLongest = 12;
  for (int i = blocked_by[start]; i != start; i = blocked_by[i]) {
    path.push_back(def_.node(i).name());
  }
  path.push_back(def_.node(start).name());
  std::reverse(path.begin(), path.end());
  if (path.size() > kLongest) {
    path.erase(path.begin() + kLongest / 2, path.end() - kLongest / 2);
    path.insert(path.begin() + kLongest / 2, "...");
  }
  Error(absl::StrCat(Where(start),
                     "it depends on itself: ", absl::StrJoin(path, " -> ")));
}

// Every input of node `i` exists by now, if its owner has so many outputs and
// such parameters.
absl::Status DefChecker::CheckInputs(int i) const {
  for (const std::string& input : def_.node(i).input()) {
    if (graph_.FindValue(input) >= 0) continue;
    const std::string& name = def_.node(Owner(input)).name();
    const Node& owner = graph_.node(graph_.FindNode(name));
    std::vector<std::string> names;
    for (ValueId id : owner.outputs) names.push_back(graph_.value(id).name);
    for (ValueId id : owner.variables) names.push_back(graph_.value(id).name);
    return Invalid(Where(i), "input \"", input, "\": node \"", name,
                   "\" has only ", absl::StrJoin(names, ", "));
  }
  return absl::OkStatus();
}

absl::Status DefChecker::AddOne(int i) {
  const NodeDef& node = def_.node(i);
  if (!node.has_op()) {
    return Invalid(Where(i), "it has no op; add op { [op/Dense] { ... } }");
  }
  auto params = UnpackOp(node.op(), *registry_);
  if (!params.ok()) return Invalid(Where(i), params.status().message());
  TAMER_RETURN_IF_ERROR(CheckInputs(i));
  return graph_
      .AddNode(node.name(), **params,
               {node.input().begin(), node.input().end()}, node.share_with(),
               NodeLocation(i))
      .status();
}

void DefChecker::AddNodes(const std::vector<int>& order) {
  for (int i : order) {
    if (!broken_[i]) {
      const absl::Status status = AddOne(i);
      if (status.ok()) continue;
      Error(std::string(status.message()));
      broken_[i] = true;
    }
    // What follows from this fault isn't told again.
    for (int reader : readers_[i]) broken_[reader] = true;
  }
}

void DefChecker::AddOutputs() {
  if (def_.output().empty()) {
    Error(absl::StrCat(Prefix({}, 0),
                       "the graph has no output; add output: \"NAME\""));
  }
  for (int i = 0; i < def_.output_size(); ++i) {
    const std::string& output = def_.output(i);
    if (graph_.AddOutput(output).ok()) continue;
    const int owner = Owner(output);
    if (owner >= 0 && graph_.FindNode(def_.node(owner).name()) < 0) continue;
    if (broken_inputs_.count(output) > 0) continue;
    Error(absl::StrCat(Prefix(locations_.outputs, i), "output \"", output,
                       "\" is neither a node nor an input", Suggest(output)));
  }
}

absl::StatusOr<Graph> DefChecker::Check() {
  graph_.set_name(def_.name());
  AddInputs();
  IndexNodes();
  Connect();
  AddNodes(Order());
  AddOutputs();
  if (error_count_ == 0) return std::move(graph_);
  if (error_count_ > kMostErrors) {
    errors_.push_back(
        absl::StrCat("and ", error_count_ - kMostErrors, " more errors"));
  }
  return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
}

}  // namespace

absl::StatusOr<Graph> Graph::FromDef(const GraphDef& def,
                                     const OpRegistry* registry,
                                     const GraphLocations& locations) {
  if (def.format_version() > kGraphFormatVersion) {
    return Invalid(locations.file.empty() ? "" : locations.file + ": ",
                   "format_version ", def.format_version(),
                   " is newer than this binary's ", kGraphFormatVersion,
                   "; use a newer Tamer");
  }
  return DefChecker(def, registry, locations).Check();
}

}  // namespace tamer
