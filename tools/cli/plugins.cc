#include "plugins/host/plugins.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/train/files.h"
#include "ops/builtin.h"
#include "plugins/check/check.h"
#include "tools/cli/commands.h"
#include "tools/cli/output.h"
#include "tools/cli/skeleton.h"

namespace tamer {
namespace {

struct Options {
  std::string file, name, folder;
  bool json = false;
};

nlohmann::ordered_json Describe(const PluginContents& contents) {
  const auto text = [](const char* text) {
    return std::string(text == nullptr ? "" : text);
  };
  nlohmann::ordered_json json;
  json["file"] = contents.library.path;
  json["name"] = text(contents.library.plugin.name);
  json["version"] = text(contents.library.plugin.version);
  json["interface"] = contents.library.plugin.abi_version;
  json["ops"] = contents.ops;
  json["losses"] = contents.losses;
  json["metrics"] = contents.metrics;
  json["updates"] = contents.updates;
  json["readers"] = contents.readers;
  json["collectives"] = contents.collectives;
  return json;
}

std::string Offers(const nlohmann::ordered_json& plugin) {
  std::vector<std::string> offers;
  for (const char* kind :
       {"ops", "losses", "metrics", "updates", "readers", "collectives"}) {
    const auto names = plugin[kind].get<std::vector<std::string>>();
    if (!names.empty()) {
      offers.push_back(absl::StrCat(kind, " ", absl::StrJoin(names, ", ")));
    }
  }
  return absl::StrJoin(offers, "; ");
}

// Loaded ones, then those found in the search folders, each tried by itself.
Outcome List(const Options& options, const Plugins& loaded) {
  Outcome outcome;
  nlohmann::ordered_json all = nlohmann::json::array();
  for (const PluginContents& contents : loaded.loaded()) {
    all.push_back(Describe(contents));
  }
  for (const std::string& path : loaded.Available()) {
    OpRegistry registry;
    outcome.status = RegisterBuiltinOps(registry);
    if (!outcome.status.ok()) return outcome;
    Plugins alone("");
    const absl::Status status = alone.Load(path, "", registry);
    if (status.ok()) {
      all.push_back(Describe(alone.loaded().front()));
    } else {
      all.push_back({{"file", path}, {"error", std::string(status.message())}});
    }
  }
  if (options.json) {
    std::printf("%s\n", all.dump(2).c_str());
    return outcome;
  }
  if (all.empty()) {
    std::printf(
        "no plugins: give files by --plugin, or folders in "
        "TAMER_PLUGIN_PATH\n");
    return outcome;
  }
  Table table({"file", "plugin", "offers"});
  for (const auto& plugin : all) {
    if (plugin.contains("error")) {
      table.Add({plugin["file"].get<std::string>(), "-",
                 plugin["error"].get<std::string>()});
    } else {
      table.Add({plugin["file"].get<std::string>(),
                 absl::StrCat(plugin["name"].get<std::string>(), " ",
                              plugin["version"].get<std::string>()),
                 Offers(plugin)});
    }
  }
  std::printf("%s", table.ToString().c_str());
  return outcome;
}

Outcome Check(const Options& options) {
  Outcome outcome;
  const auto results = CheckPlugin(options.file, RegisterBuiltinOps);
  if (!results.ok()) {
    outcome.status = results.status();
    return outcome;
  }
  static constexpr const char* kVerdicts[] = {"ok", "FAILED", "note"};
  int counts[3] = {0, 0, 0};
  Table table({"", "what", "check", "seen"});
  nlohmann::ordered_json all = nlohmann::json::array();
  for (const CheckResult& result : *results) {
    ++counts[result.verdict];
    table.Add({kVerdicts[result.verdict], result.subject, result.check,
               result.detail});
    all.push_back({{"verdict", kVerdicts[result.verdict]},
                   {"subject", result.subject},
                   {"check", result.check},
                   {"detail", result.detail}});
  }
  if (options.json) {
    std::printf("%s\n", all.dump(2).c_str());
  } else {
    std::printf("%s%d passed, %d failed, %d notes\n", table.ToString().c_str(),
                counts[0], counts[1], counts[2]);
  }
  if (counts[1] > 0) outcome.code = kExitFailed;
  return outcome;
}

// "my_op" from "MyOp".
absl::Status New(const Options& options) {
  const std::string& name = options.name;
  bool valid = !name.empty() && absl::ascii_isupper(name[0]);
  for (char c : name) valid = valid && absl::ascii_isalnum(c);
  if (!valid) {
    return Invalid("\"", name, "\" is no op's name; write it like Swish: ",
                   "letters and digits, a capital first");
  }
  const std::string snake = SnakeCase(name);
  const std::string folder = options.folder.empty() ? snake : options.folder;
  TAMER_RETURN_IF_ERROR(WriteSkeleton(
      folder, Skeleton(),
      {{"NAME.cc", snake + ".cc"}, {"@NAME@", name}, {"@FILE@", snake}}));
  std::printf("%s/: a plugin with the op %s; next: cd %s && ./build.sh\n",
              folder.c_str(), name.c_str(), folder.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddPlugins(CLI::App* app, const Plugins* plugins, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "plugins", "List, check or begin plugins: layers of your own.");
  command->require_subcommand(1);
  command->footer("Example: tamer plugins check ./libswish.so");
  CLI::App* list = command->add_subcommand(
      "list", "Those given by --plugin and those in TAMER_PLUGIN_PATH.");
  list->add_flag("--json", options->json, "Print as JSON.");
  list->footer("Example: TAMER_PLUGIN_PATH=plugins tamer plugins list");
  list->callback([options, plugins, outcome] {
    if (outcome->status.ok()) *outcome = List(*options, *plugins);
  });
  CLI::App* check = command->add_subcommand(
      "check",
      "Try all that a plugin offers: shapes, gradients, memory, threads.");
  check->add_option("file", options->file, "The library (.so).")->required();
  check->add_flag("--json", options->json, "Print as JSON.");
  check->footer("Example: tamer plugins check ./libswish.so");
  check->callback([options, outcome] {
    if (outcome->status.ok()) *outcome = Check(*options);
  });
  CLI::App* fresh = command->add_subcommand(
      "new",
      "Write a plugin to begin with: source, BUILD file, network, test.");
  fresh->add_option("name", options->name, "The op's name, like Swish.")
      ->required();
  fresh->add_option("--folder", options->folder,
                    "Where; a new folder, NAME in small letters if not given.");
  fresh->footer("Example: tamer plugins new Swish");
  fresh->callback([options, outcome] {
    if (outcome->status.ok()) outcome->status = New(*options);
  });
}

}  // namespace tamer
