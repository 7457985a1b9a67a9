#include "core/graph/expand.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "core/base/suggest.h"
#include "core/graph/parse.h"
#include "core/graph/text.h"

namespace tamer {
namespace {

using google::protobuf::TextFormat;

constexpr int kDeepestInclude = 20;
constexpr int kDeepestBlock = 64;
constexpr int kMostNodes = 1'000'000;

// A block with the place of each of its nodes.
struct LocatedBlock {
  BlockDef def;
  std::vector<SourceLocation> locations;
};

// Where a block's inner names lead: one instance of it.
struct Scope {
  std::string prefix;  // "enc.3/", "" at the top
  std::unordered_set<std::string> inner;
  std::unordered_map<std::string, std::string> inputs;
};

class Expander {
 public:
  explicit Expander(const OpRegistry& registry) : registry_(registry) {}

  void ReadText(const std::string& text, const std::string& file);
  void ReadDef(const GraphDef& def, const std::string& file,
               const TextFormat::ParseInfoTree* locations);
  ExpandedGraph Finish();

 private:
  void Fault(const SourceLocation& at, const std::string& node,
             const std::string& text);
  void Include(const std::string& name, const std::string& file);
  void Emit(const NodeDef& node, const SourceLocation& at, const Scope& scope);
  void Instantiate(const NodeDef& node, const SourceLocation& at, int depth);
  void InstantiateOnce(const std::string& name,
                       const std::vector<std::string>& inputs,
                       const LocatedBlock& block, int depth);
  std::string Resolve(const std::string& name, const Scope& scope,
                      const SourceLocation& at, const std::string& node);
  std::string FollowAliases(std::string name) const;

  const OpRegistry& registry_;
  ExpandedGraph result_;
  std::vector<std::string> open_files_;
  std::vector<std::pair<NodeDef, SourceLocation>> nodes_;  // not yet expanded
  std::map<std::string, LocatedBlock> blocks_;
  // A block instance's outputs: "enc" is "enc.5/sum".
  std::unordered_map<std::string, std::string> aliases_;
};

SourceLocation LocationOf(const TextFormat::ParseInfoTree* tree,
                          const google::protobuf::FieldDescriptor* field,
                          int index, const std::string& file) {
  SourceLocation at;
  at.file = file;
  if (tree == nullptr) return at;
  const auto location = tree->GetLocation(field, index);
  at.line = location.line + 1;
  at.column = location.column + 1;
  return at;
}

// "enc" of "enc:1".
std::string WithoutOutput(const std::string& name) {
  return name.substr(0, name.rfind(':'));
}

void Expander::Fault(const SourceLocation& at, const std::string& node,
                     const std::string& text) {
  if (result_.faults.size() > 100) return;
  result_.faults.push_back(
      absl::StrCat(at.Prefix(), "node \"", node, "\": ", text));
}

void Expander::ReadText(const std::string& text, const std::string& file) {
  GraphDef def;
  TextParse parse;
  ParseAll(text, file, registry_, &def, &parse);
  for (std::string& fault : parse.faults) {
    result_.faults.push_back(std::move(fault));
  }
  for (std::string& name : parse.lost) result_.lost.push_back(std::move(name));
  ReadDef(def, file, parse.locations.get());
}

void Expander::Include(const std::string& name, const std::string& file) {
  const size_t slash = file.find_last_of('/');
  const std::string path =
      name.empty() || name[0] == '/' || slash == std::string::npos
          ? name
          : file.substr(0, slash + 1) + name;
  if (std::find(open_files_.begin(), open_files_.end(), path) !=
          open_files_.end() ||
      open_files_.size() >= kDeepestInclude) {
    result_.faults.push_back(absl::StrCat(
        file, ": include \"", name, "\": it includes itself, or files include ",
        "one another more than ", kDeepestInclude, " deep"));
    return;
  }
  const auto text = ReadFile(path);
  if (!text.ok()) {
    result_.faults.push_back(absl::StrCat(file, ": include \"", name,
                                          "\": ", text.status().message()));
    return;
  }
  ReadText(*text, path);
}

void Expander::ReadDef(const GraphDef& def, const std::string& file,
                       const TextFormat::ParseInfoTree* locations) {
  open_files_.push_back(file);
  for (const std::string& name : def.include()) Include(name, file);
  open_files_.pop_back();
  GraphDef& out = result_.def;
  if (def.format_version() > out.format_version()) {
    out.set_format_version(def.format_version());
  }
  for (int i = 0; i < def.input_size(); ++i) {
    const auto* field = GraphDef::descriptor()->FindFieldByName("input");
    *out.add_input() = def.input(i);
    result_.locations.inputs.push_back(LocationOf(locations, field, i, file));
  }
  for (int i = 0; i < def.block_size(); ++i) {
    LocatedBlock block;
    block.def = def.block(i);
    const auto* field = GraphDef::descriptor()->FindFieldByName("block");
    const auto* inner = BlockDef::descriptor()->FindFieldByName("node");
    const auto* nested =
        locations == nullptr ? nullptr : locations->GetTreeForNested(field, i);
    for (int j = 0; j < block.def.node_size(); ++j) {
      block.locations.push_back(LocationOf(nested, inner, j, file));
    }
    const std::string name = block.def.name();
    if (!blocks_.emplace(name, std::move(block)).second) {
      result_.faults.push_back(
          absl::StrCat(LocationOf(locations, field, i, file).Prefix(),
                       "block \"", name, "\": two blocks bear this name"));
    }
  }
  const auto* node_field = GraphDef::descriptor()->FindFieldByName("node");
  for (int i = 0; i < def.node_size(); ++i) {
    nodes_.emplace_back(def.node(i),
                        LocationOf(locations, node_field, i, file));
  }
  // Only the outermost file's own name and outputs count.
  if (open_files_.empty()) {
    out.set_name(def.name());
    *out.mutable_output() = def.output();
    result_.locations.file = file;
    for (int i = 0; i < def.output_size(); ++i) {
      const auto* field = GraphDef::descriptor()->FindFieldByName("output");
      result_.locations.outputs.push_back(
          LocationOf(locations, field, i, file));
    }
  }
}

std::string Expander::Resolve(const std::string& name, const Scope& scope,
                              const SourceLocation& at,
                              const std::string& node) {
  if (scope.prefix.empty()) return name;
  const auto input = scope.inputs.find(name);
  if (input != scope.inputs.end()) return input->second;
  const std::string base = WithoutOutput(name);
  const size_t slash = base.find('/');
  if (scope.inner.count(base) > 0 ||
      (slash != std::string::npos &&
       scope.inner.count(base.substr(0, slash)) > 0)) {
    return scope.prefix + name;
  }
  std::vector<std::string> known(scope.inner.begin(), scope.inner.end());
  for (const auto& entry : scope.inputs) known.push_back(entry.first);
  std::sort(known.begin(), known.end());
  Fault(at, node,
        absl::StrCat("input \"", name, "\" is neither a node nor an input of ",
                     "the block", DidYouMean(name, known)));
  return name;
}

void Expander::Emit(const NodeDef& node, const SourceLocation& at,
                    const Scope& scope) {
  NodeDef* out = result_.def.add_node();
  *out = node;
  out->set_name(scope.prefix + node.name());
  for (std::string& input : *out->mutable_input()) {
    input = Resolve(input, scope, at, out->name());
  }
  if (node.has_share_with()) {
    out->set_share_with(scope.prefix + node.share_with());
  }
  result_.locations.nodes.push_back(at);
}

void Expander::InstantiateOnce(const std::string& name,
                               const std::vector<std::string>& inputs,
                               const LocatedBlock& block, int depth) {
  Scope scope;
  scope.prefix = name + "/";
  for (const NodeDef& node : block.def.node()) scope.inner.insert(node.name());
  for (int i = 0; i < block.def.input_size(); ++i) {
    scope.inputs[block.def.input(i)] = inputs[i];
  }
  for (int i = 0; i < block.def.node_size(); ++i) {
    const NodeDef& node = block.def.node(i);
    if (!node.has_block()) {
      Emit(node, block.locations[i], scope);
      continue;
    }
    NodeDef instance = node;
    instance.set_name(scope.prefix + node.name());
    for (std::string& input : *instance.mutable_input()) {
      input = Resolve(input, scope, block.locations[i], instance.name());
    }
    Instantiate(instance, block.locations[i], depth + 1);
  }
  for (int i = 0; i < block.def.output_size(); ++i) {
    const std::string alias = i == 0 ? name : absl::StrCat(name, ":", i);
    aliases_[alias] =
        Resolve(block.def.output(i), scope, SourceLocation(), name);
  }
}

void Expander::Instantiate(const NodeDef& node, const SourceLocation& at,
                           int depth) {
  const auto found = blocks_.find(node.block());
  if (found == blocks_.end()) {
    std::vector<std::string> names;
    for (const auto& entry : blocks_) names.push_back(entry.first);
    return Fault(at, node.name(),
                 absl::StrCat("there is no block \"", node.block(), "\"",
                              DidYouMean(node.block(), names)));
  }
  const BlockDef& block = found->second.def;
  if (node.has_op()) {
    return Fault(at, node.name(), "it has both an op and a block; keep one");
  }
  if (depth > kDeepestBlock) {
    return Fault(
        at, node.name(),
        absl::StrCat("blocks stand in one another more than ", kDeepestBlock,
                     " deep; does \"", node.block(), "\" use itself?"));
  }
  if (node.input_size() != block.input_size()) {
    return Fault(
        at, node.name(),
        absl::StrCat("block \"", node.block(), "\" takes ", block.input_size(),
                     " inputs, not ", node.input_size()));
  }
  if (node.repeat() < 1) {
    return Fault(
        at, node.name(),
        absl::StrCat("repeat is ", node.repeat(), "; it must be at least 1"));
  }
  if (node.repeat() > 1 && block.output_size() != block.input_size()) {
    return Fault(
        at, node.name(),
        absl::StrCat("block \"", node.block(), "\" has ", block.input_size(),
                     " inputs and ", block.output_size(),
                     " outputs; to repeat it they must be as many"));
  }
  std::vector<std::string> inputs(node.input().begin(), node.input().end());
  for (int i = 0; i < node.repeat(); ++i) {
    if (result_.def.node_size() > kMostNodes || result_.faults.size() > 100) {
      return Fault(at, node.name(),
                   absl::StrCat("the graph would have more than ", kMostNodes,
                                " nodes"));
    }
    const std::string name =
        node.repeat() == 1 ? node.name() : absl::StrCat(node.name(), ".", i);
    InstantiateOnce(name, inputs, found->second, depth);
    if (node.repeat() == 1) return;
    inputs.clear();
    for (int k = 0; k < block.output_size(); ++k) {
      const std::string suffix = k == 0 ? "" : absl::StrCat(":", k);
      inputs.push_back(name + suffix);
      aliases_[node.name() + suffix] = name + suffix;
    }
  }
}

std::string Expander::FollowAliases(std::string name) const {
  // Each step goes to a deeper instance, so this ends; the bound guards against
  // a block whose output is itself.
  for (int i = 0; i < 2 * kDeepestBlock; ++i) {
    const auto alias = aliases_.find(name);
    if (alias == aliases_.end()) break;
    name = alias->second;
  }
  return name;
}

ExpandedGraph Expander::Finish() {
  const Scope top;
  for (const auto& entry : nodes_) {
    if (entry.first.has_block()) {
      Instantiate(entry.first, entry.second, 0);
    } else {
      Emit(entry.first, entry.second, top);
    }
  }
  if (!aliases_.empty()) {
    for (NodeDef& node : *result_.def.mutable_node()) {
      for (std::string& input : *node.mutable_input()) {
        input = FollowAliases(input);
      }
    }
    for (std::string& output : *result_.def.mutable_output()) {
      output = FollowAliases(output);
    }
  }
  return std::move(result_);
}

}  // namespace

ExpandedGraph ExpandText(const std::string& text, const std::string& file,
                         const OpRegistry& registry) {
  Expander expander(registry);
  expander.ReadText(text, file);
  return expander.Finish();
}

ExpandedGraph ExpandDef(const GraphDef& def, const std::string& file,
                        const OpRegistry& registry) {
  Expander expander(registry);
  expander.ReadDef(def, file, nullptr);
  return expander.Finish();
}

}  // namespace tamer
