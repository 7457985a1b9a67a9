#include "core/graph/text.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/graph/expand.h"
#include "core/graph/parse.h"
#include "google/protobuf/any.pb.h"

namespace tamer {
namespace {

constexpr int64_t kLargestFile = int64_t{256} << 20;
constexpr char kPrefix[] = "op/";

// Errors of checking, without those that only tell of nodes that the parser
// lost.
std::vector<std::string> WithoutEchoes(const absl::Status& status,
                                       const std::set<std::string>& lost) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(status.message(), '\n')) {
    bool echo = false;
    for (const std::string& name : lost) {
      echo = echo || absl::StrContains(line, absl::StrCat("node \"", name,
                                                          "\": it has no op"));
    }
    if (!echo) lines.emplace_back(line);
  }
  return lines;
}

absl::StatusOr<Graph> Check(ExpandedGraph expanded,
                            const OpRegistry* registry) {
  std::vector<std::string> errors = std::move(expanded.faults);
  if (expanded.def.format_version() > kGraphFormatVersion) errors.clear();
  // A node that could not be parsed keeps its name known.
  const std::set<std::string> lost(expanded.lost.begin(), expanded.lost.end());
  for (const std::string& name : lost) {
    expanded.def.add_node()->set_name(name);
    expanded.locations.nodes.emplace_back();
  }
  auto graph = Graph::FromDef(expanded.def, registry, expanded.locations);
  if (errors.empty() && lost.empty()) return graph;
  if (!graph.ok()) {
    for (std::string& line : WithoutEchoes(graph.status(), lost)) {
      errors.push_back(std::move(line));
    }
  }
  return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) return Invalid(path, ": not a file");
  if (info.st_size > kLargestFile) {
    return Invalid(path, ": larger than ", kLargestFile >> 20, " MiB");
  }
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in.good() && !in.eof()) {
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  return text;
}

absl::Status ParseText(const std::string& text, const std::string& file,
                       const OpRegistry& registry,
                       google::protobuf::Message* message) {
  TextParse parse;
  ParseAll(text, file, registry, message, &parse);
  if (parse.faults.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(parse.faults, "\n"));
}

std::string PrintText(const google::protobuf::Message& message,
                      const OpRegistry& registry) {
  const OpFinder finder(registry);
  google::protobuf::TextFormat::Printer printer;
  printer.SetExpandAny(true);
  printer.SetUseShortRepeatedPrimitives(true);
  printer.SetFinder(&finder);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

absl::StatusOr<std::unique_ptr<OpParams>> UnpackOp(
    const google::protobuf::Any& any, const OpRegistry& registry) {
  const Op* op = nullptr;
  if (absl::StartsWith(any.type_url(), kPrefix)) {
    op = registry.Find(any.type_url().substr(sizeof(kPrefix) - 1));
  }
  if (op == nullptr) return Invalid(UnknownOp(any.type_url(), registry));
  auto params = op->NewParams();
  if (!params->ParseFromString(any.value())) {
    return Invalid(op->name(), ": its parameters are damaged");
  }
  return params;
}

google::protobuf::Any PackOp(const OpParams& params) {
  google::protobuf::Any any;
  any.set_type_url(kPrefix + params.GetDescriptor()->name());
  any.set_value(params.SerializeAsString());
  return any;
}

std::string PrintGraph(const Graph& graph) {
  return PrintText(graph.ToDef(), graph.registry());
}

absl::StatusOr<Graph> ParseGraph(const std::string& text,
                                 const std::string& file,
                                 const OpRegistry* registry) {
  return Check(ExpandText(text, file, *registry), registry);
}

absl::StatusOr<Graph> LoadGraph(const std::string& path,
                                const OpRegistry* registry) {
  TAMER_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  for (const char* ending : {".pbtxt", ".prototxt", ".txt"}) {
    if (absl::EndsWith(path, ending)) {
      return ParseGraph(content, path, registry);
    }
  }
  GraphDef def;
  if (content.empty() || !def.ParseFromString(content)) {
    return Invalid(path,
                   ": not a graph in protobuf's binary form; a text graph's ",
                   "name ends in .pbtxt");
  }
  return Check(ExpandDef(def, path, *registry), registry);
}

}  // namespace tamer
