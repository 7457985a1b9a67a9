#include "tools/draw/outline.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace tamer {
namespace {

std::string Join(const std::string& path, const std::string& name) {
  return path.empty() ? name : absl::StrCat(path, "/", name);
}

// "layers.3" is "layers" and 3.
bool IsRepeat(const std::string& name, std::string* base, int* number) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  *base = name.substr(0, dot);
  return absl::SimpleAtoi(name.substr(dot + 1), number);
}

// A value as a group's own nodes name it, or what it is from outside.
std::string Within(const std::string& path, const Value& value) {
  if (absl::StartsWith(value.name, path + "/")) {
    return value.name.substr(path.size());
  }
  return absl::StrCat("<", value.type.ToString());
}

}  // namespace

std::set<ValueId> TrainedVariables(const Graph& graph) {
  std::set<ValueId> trained;
  for (const Node& node : graph.nodes()) {
    const std::vector<ValueId> inputs = node.AllInputs();
    for (int index : node.Mutates()) {
      const Value& value = graph.value(inputs[index]);
      if (&graph.node(value.node) != &node) trained.insert(inputs[index]);
    }
  }
  return trained;
}

Outline::Outline(const Graph& graph, const std::set<ValueId>& trained,
                 bool merge_repeats) {
  Group root;
  for (size_t id = 0; id < graph.nodes().size(); ++id) {
    Place place;
    place.own = absl::StrSplit(graph.node(id).name, '/');
    place.own.pop_back();
    Group* group = &root;
    for (const std::string& part : place.own) {
      if (group->children.count(part) == 0) group->order.push_back(part);
      group = &group->children[part];
    }
    group->nodes.push_back(static_cast<NodeId>(id));
    places_.push_back(std::move(place));
  }
  Sign(graph, trained, "", &root);
  Merge(root, "", "", merge_repeats);
  for (Place& place : places_) {
    std::string own;
    for (const std::string& part : place.own) {
      own = Join(own, part);
      place.shown.push_back(shown_.at(own));
    }
  }
}

// Two groups with the same signature do the same: their nodes are equal but for
// the group's name, in wiring, shapes and parameters, and so is what is trained
// of them.
void Outline::Sign(const Graph& graph, const std::set<ValueId>& trained,
                   const std::string& path, Group* group) {
  for (const std::string& name : group->order) {
    Group* child = &group->children[name];
    Sign(graph, trained, Join(path, name), child);
    absl::StrAppend(&group->signature, name, "{", child->signature, "}");
  }
  for (NodeId id : group->nodes) {
    const Node& node = graph.node(id);
    absl::StrAppend(&group->signature, node.name.substr(path.size()), " ",
                    node.op->name(), " ", node.params->ShortDebugString());
    for (ValueId input : node.inputs) {
      absl::StrAppend(&group->signature, " ", Within(path, graph.value(input)));
    }
    for (ValueId variable : node.variables) {
      absl::StrAppend(&group->signature,
                      trained.count(variable) > 0 ? "!" : "_",
                      graph.value(variable).type.ToString());
    }
    absl::StrAppend(&group->signature, ";");
  }
}

void Outline::Merge(const Group& group, const std::string& own,
                    const std::string& shown, bool merge_repeats) {
  std::map<std::string, std::string> last;  // by base, of what came so far
  for (const std::string& name : group.order) {
    const Group& child = group.children.at(name);
    std::string as = name, base;
    int number = 0;
    if (merge_repeats && IsRepeat(name, &base, &number)) {
      const auto before = last.find(base);
      int other = 0;
      if (before != last.end() && IsRepeat(before->second, &base, &other) &&
          std::abs(number - other) == 1 &&
          group.children.at(before->second).signature == child.signature) {
        as = shown_.at(Join(own, before->second));
      }
      last[base] = name;
    }
    shown_[Join(own, name)] = as;
    Run& run = runs_[Join(shown, as)];
    // An outer group's other repeats count nothing anew.
    if (own == shown) {
      run.count += as != name;
      run.last = name;
    }
    Merge(child, Join(own, name), Join(shown, as), merge_repeats);
  }
}

Outline::Run Outline::run(const std::string& shown) const {
  const auto found = runs_.find(shown);
  return found == runs_.end() ? Run{} : found->second;
}

}  // namespace tamer
