#include "tools/draw/labels.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/draw/picture.h"
#include "tools/text/numbers.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;

// A line of a box holds about so many letters.
constexpr size_t kLine = 34;
constexpr size_t kTooltip = 1000;

// A number with its name, "rate 0.25"; of words and flags one of the two is
// enough. "" for what has no short form.
std::string Setting(const OpParams& params, const FieldDescriptor& field) {
  const auto& reflection = *params.GetReflection();
  const auto named = [&](const std::string& value) {
    return absl::StrCat(field.name(), " ", value);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.GetEnum(params, &field)->name();
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(params, &field) ? field.name() : "";
    case FieldDescriptor::CPPTYPE_FLOAT:
      return named(absl::StrFormat("%g", reflection.GetFloat(params, &field)));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return named(absl::StrFormat("%g", reflection.GetDouble(params, &field)));
    case FieldDescriptor::CPPTYPE_INT32:
      return named(absl::StrCat(reflection.GetInt32(params, &field)));
    case FieldDescriptor::CPPTYPE_INT64:
      return named(absl::StrCat(reflection.GetInt64(params, &field)));
    default:
      return "";
  }
}

}  // namespace

std::vector<std::string> NodeLines(const Graph& graph, const Node& node) {
  std::vector<const FieldDescriptor*> fields;
  node.params->GetReflection()->ListFields(*node.params, &fields);
  std::vector<std::string> lines = {node.op->name()};
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) continue;
    const std::string setting = Setting(*node.params, *field);
    if (setting.empty()) continue;
    if (lines.back().size() + setting.size() > kLine) break;
    absl::StrAppend(&lines.back(),
                    lines.back() == node.op->name() ? " · " : ", ", setting);
  }
  std::vector<std::string> shapes;
  for (size_t i = 0; i < node.variables.size(); ++i) {
    if (!node.variable_specs[i].trainable) continue;
    shapes.push_back(ShapeText(graph.value(node.variables[i]).type.shape));
  }
  for (int index : node.Mutates()) {
    const ValueId id = node.AllInputs()[index];
    const Value& value = graph.value(id);
    if (&graph.node(value.node) != &node) {
      shapes.push_back(ShapeText(value.type.shape));
    }
  }
  if (!node.share_with.empty()) {
    lines.push_back("parameters of " + node.share_with);
  } else if (!shapes.empty()) {
    if (shapes.size() > 3) shapes = {shapes[0], shapes[1], "…"};
    lines.push_back(absl::StrJoin(shapes, " + "));
  }
  return lines;
}

std::string NodeTooltip(const Graph& graph, const Node& node) {
  std::string text = absl::StrCat(node.name, ": ", node.op->name(), " { ",
                                  node.params->ShortDebugString(), " }");
  for (ValueId id : node.outputs) {
    absl::StrAppend(&text, "\n", graph.value(id).name, ": ",
                    graph.value(id).type.ToString());
  }
  for (ValueId id : node.variables) {
    absl::StrAppend(&text, "\n", graph.value(id).name, ": ",
                    graph.value(id).type.ToString());
  }
  if (node.location.line > 0) {
    absl::StrAppend(&text, "\n", node.location.file, ":", node.location.line);
  }
  return text.substr(0, kTooltip);
}

std::vector<std::string> BlockLines(int64_t nodes, int64_t parameters) {
  std::vector<std::string> lines = {
      absl::StrCat(WithCommas(nodes), nodes == 1 ? " node" : " nodes")};
  if (parameters > 0) {
    lines.push_back(WithCommas(parameters) + " parameters");
  }
  return lines;
}

std::string NameInFrame(const std::string& name,
                        const std::vector<std::string>& shown,
                        const Graph& graph) {
  // Of the groups behind "grad", those that are nodes have no frame.
  const std::vector<std::string> own = absl::StrSplit(name, '/');
  size_t from = shown.size();
  while (from > 1 && graph.FindNode(absl::StrJoin(
                         shown.begin() + 1, shown.begin() + from, "/")) >= 0) {
    --from;
  }
  return absl::StrJoin(own.begin() + from, own.end(), "/");
}

}  // namespace tamer
