// `tamer validate`: all that can be known of a recipe before it trains.

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/base/version.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/source.h"

namespace tamer {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> files;
  bool json = false, sarif = false;
};

// What can be wrong, for tools that group faults by it.
struct Rule {
  const char* id;
  const char* text;
};
constexpr Rule kText = {"text", "Recipe, network and plugins can be read."};
constexpr Rule kStage = {"stage", "Each stage's training graph can be made."};
constexpr Rule kData = {"data", "The data can be read."};
constexpr Rule kFit = {"fit", "The data fit the network."};

struct Fault {
  std::string rule, file;
  int line = 1, column = 1;
  std::string text;
};

// "net.pbtxt:3:57: unknown op" in its parts; what names no place is about
// `file` as a whole.
Fault ParseFault(const Rule& rule, const std::string& file,
                 const std::string& line) {
  Fault fault;
  fault.rule = rule.id;
  fault.file = file;
  fault.text = line;
  const std::vector<std::string> parts =
      absl::StrSplit(line, absl::MaxSplits(':', 3));
  int row = 0, column = 0;
  if (parts.size() == 4 && absl::SimpleAtoi(parts[1], &row) &&
      absl::SimpleAtoi(parts[2], &column) && row > 0 && column > 0) {
    fault.file = parts[0];
    fault.line = row;
    fault.column = column;
    fault.text = parts[3].substr(parts[3].find_first_not_of(' '));
  } else if (parts.size() > 1 && parts[0] == file) {
    fault.text = line.substr(file.size() + 1);
    fault.text.erase(0, fault.text.find_first_not_of(' '));
  }
  return fault;
}

void AddFaults(const Rule& rule, const std::string& file,
               const absl::Status& status, std::vector<Fault>* faults) {
  if (status.ok()) return;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(status.message(), '\n'))) {
    if (!line.empty()) faults->push_back(ParseFault(rule, file, line));
  }
}

// Whether samples are what the network's input takes.
absl::Status CheckFit(const Graph& network, const Dataset& data) {
  if (network.inputs().empty()) return absl::OkStatus();
  const Value& input = network.value(network.inputs()[0]);
  const bool tokens = input.type.dtype == DType::kInt32;
  if (tokens != (data.dtype == DType::kInt32)) {
    return Invalid(data.source, ": samples are ",
                   tokens ? "no tokens, but the input \""
                          : "tokens, but the "
                            "input \"",
                   input.name, "\" is ", input.type.ToString());
  }
  if (-input.type.shape.elements() != data.sample_elements()) {
    return Invalid(data.source, ": samples are ", data.sample_shape.ToString(),
                   ", but the input \"", input.name, "\" is ",
                   input.type.ToString());
  }
  return absl::OkStatus();
}

void ValidateStage(const NamedNetwork& named, const StageDef& stage,
                   const OpRegistry& registry, std::vector<Fault>* faults) {
  const std::string& file = named.recipe.file;
  std::vector<std::string> passes;
  if (stage.has_finetune()) passes.push_back(stage.name());
  for (const PretrainLayer& layer : stage.pretrain().layer()) {
    passes.push_back(absl::StrCat(stage.name(), "/", layer.node()));
  }
  for (const std::string& pass : passes) {
    AddFaults(kStage, file, AfterPass(named, pass).status(), faults);
  }
  const auto data = LoadStageData(named.recipe, stage, &registry);
  AddFaults(kData, file, data.status(), faults);
  if (!data.ok()) return;
  for (const auto& part : {data->train, data->validation, data->test}) {
    if (part == nullptr) continue;
    AddFaults(kFit, file, CheckFit(named.network, *part), faults);
  }
}

std::vector<Fault> Validate(const std::string& file,
                            const OpRegistry& registry) {
  std::vector<Fault> faults;
  const auto named = OpenNetwork(file, registry);
  AddFaults(kText, file, named.status(), &faults);
  if (!named.ok()) return faults;
  for (const StageDef& stage : named->recipe.def.stage()) {
    ValidateStage(*named, stage, registry, &faults);
  }
  return faults;
}

Json ToJson(const std::vector<Fault>& faults) {
  Json list = Json::array();
  for (const Fault& fault : faults) {
    list.push_back({{"file", fault.file},
                    {"line", fault.line},
                    {"column", fault.column},
                    {"rule", fault.rule},
                    {"message", fault.text}});
  }
  return {{"valid", faults.empty()}, {"faults", list}};
}

// The Static Analysis Results Interchange Format, 2.1.0, which code hosts show
// beside the lines.
Json ToSarif(const std::vector<Fault>& faults) {
  Json rules = Json::array(), results = Json::array();
  for (const Rule& rule : {kText, kStage, kData, kFit}) {
    rules.push_back(
        {{"id", rule.id}, {"shortDescription", {{"text", rule.text}}}});
  }
  for (const Fault& fault : faults) {
    Json place = {
        {"physicalLocation",
         {{"artifactLocation", {{"uri", fault.file}}},
          {"region",
           {{"startLine", fault.line}, {"startColumn", fault.column}}}}}};
    results.push_back({{"ruleId", fault.rule},
                       {"level", "error"},
                       {"message", {{"text", fault.text}}},
                       {"locations", Json::array({place})}});
  }
  Json driver = {{"name", "tamer"}, {"version", kVersion}, {"rules", rules}};
  Json run = {{"tool", {{"driver", driver}}}, {"results", results}};
  return {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
          {"version", "2.1.0"},
          {"runs", Json::array({run})}};
}

Outcome Run(const Options& options, const OpRegistry& registry) {
  std::vector<Fault> faults;
  for (const std::string& file : options.files) {
    const auto found = Validate(file, registry);
    faults.insert(faults.end(), found.begin(), found.end());
    if (!options.json && !options.sarif && found.empty()) {
      std::printf("%s: valid\n", file.c_str());
    }
  }
  if (options.json || options.sarif) {
    const Json json = options.sarif ? ToSarif(faults) : ToJson(faults);
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    for (const Fault& fault : faults) {
      std::fprintf(stderr, "%s:%d:%d: %s\n", fault.file.c_str(), fault.line,
                   fault.column, fault.text.c_str());
    }
  }
  Outcome outcome;
  outcome.code = faults.empty() ? kExitOk : kExitFailed;
  return outcome;
}

}  // namespace

void AddValidate(CLI::App* app, const OpRegistry* registry, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "validate",
      "Check recipes without training: networks, stages, data and plugins.");
  command->add_option("recipe", options->files, "Recipes or networks.")
      ->required();
  CLI::Option* json = command->add_flag("--json", options->json, "Print JSON.");
  command
      ->add_flag("--sarif", options->sarif,
                 "Print SARIF 2.1.0, which code hosts show beside the lines.")
      ->excludes(json);
  command->footer(
      "Exit codes: 0 all are valid, 1 there are faults.\n"
      "Example: tamer validate examples/*/recipe.pbtxt --sarif > faults.sarif");
  command->callback([options, registry, outcome] {
    if (outcome->status.ok()) *outcome = Run(*options, *registry);
  });
}

}  // namespace tamer
