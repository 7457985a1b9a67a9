#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "core/base/suggest.h"
#include "google/protobuf/descriptor.h"
#include "proto/options.pb.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;

struct Options {
  std::string name;
  bool json = false;
};

std::string TypeText(const FieldDescriptor& field) {
  std::string type = field.type_name();
  if (field.message_type() != nullptr) type = field.message_type()->name();
  if (field.enum_type() != nullptr) {
    type.clear();
    for (int i = 0; i < field.enum_type()->value_count(); ++i) {
      absl::StrAppend(&type, i > 0 ? "|" : "",
                      field.enum_type()->value(i)->name());
    }
  }
  return field.is_repeated() ? "repeated " + type : type;
}

std::string DefaultText(const FieldDescriptor& field) {
  if (!field.has_default_value()) return "";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return field.default_value_bool() ? "true" : "false";
    case FieldDescriptor::CPPTYPE_FLOAT:
      return NumberText(field.default_value_float());
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(field.default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(field.default_value_int64());
    case FieldDescriptor::CPPTYPE_ENUM:
      return field.default_value_enum()->name();
    default:
      return "";
  }
}

nlohmann::ordered_json Describe(const Op& op) {
  nlohmann::ordered_json json;
  json["name"] = op.name();
  json["doc"] = op.schema().options().GetExtension(op_doc);
  json["parameters"] = nlohmann::json::array();
  for (int i = 0; i < op.schema().field_count(); ++i) {
    const FieldDescriptor& field = *op.schema().field(i);
    json["parameters"].push_back({{"name", field.name()},
                                  {"type", TypeText(field)},
                                  {"default", DefaultText(field)},
                                  {"doc", field.options().GetExtension(doc)}});
  }
  return json;
}

void PrintOne(const nlohmann::ordered_json& op) {
  std::printf("%s\n  %s\n", op["name"].get<std::string>().c_str(),
              op["doc"].get<std::string>().c_str());
  if (op["parameters"].empty()) return;
  Table table({"  parameter", "type", "default", "meaning"});
  for (const auto& parameter : op["parameters"]) {
    table.Add({"  " + parameter["name"].get<std::string>(),
               parameter["type"].get<std::string>(),
               parameter["default"].get<std::string>(),
               parameter["doc"].get<std::string>()});
  }
  std::printf("%s", table.ToString().c_str());
}

// Up to its first sentence end.
std::string FirstSentence(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool ends =
        text[i] == '.' && (i + 1 == text.size() || text[i + 1] == ' ');
    if ((ends || text[i] == ';') && i > 20) return text.substr(0, i + ends);
  }
  return text;
}

absl::Status Run(const Options& options, const OpRegistry& registry) {
  if (!options.name.empty()) {
    const Op* op = registry.Find(options.name);
    if (op == nullptr) {
      return absl::NotFoundError(
          absl::StrCat("there is no op \"", options.name, "\"",
                       DidYouMean(options.name, registry.Names())));
    }
    const auto json = Describe(*op);
    if (options.json) {
      std::printf("%s\n", json.dump(2).c_str());
    } else {
      PrintOne(json);
    }
    return absl::OkStatus();
  }
  nlohmann::ordered_json all = nlohmann::json::array();
  Table table({"op", "what it does"});
  for (const std::string& name : registry.Names()) {
    all.push_back(Describe(*registry.Find(name)));
    table.Add({name, FirstSentence(all.back()["doc"].get<std::string>())});
  }
  std::printf("%s", options.json ? (all.dump(2) + "\n").c_str()
                                 : (table.ToString() +
                                    "tamer ops NAME tells the parameters.\n")
                                       .c_str());
  return absl::OkStatus();
}

}  // namespace

void AddOps(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "ops", "The operations that a network may use, with their parameters.");
  command->add_option("name", options->name, "Only this one, in full.");
  command->add_flag("--json", options->json, "Print as JSON.");
  command->footer("Example: tamer ops Dense");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) outcome->status = Run(*options, *registry);
  });
}

}  // namespace tamer
