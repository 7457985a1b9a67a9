#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>

#include "core/base/version.h"
#include "ops/builtin.h"
#include "plugins/host/plugins.h"
#include "tools/cli/commands.h"

namespace tamer {
namespace {

// Where Tamer's own plugins (of MPI) stand: beside this program, or where Bazel
// or an installation puts them.
std::vector<std::string> OwnPlugins() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const std::string folder = self.parent_path().string();
  return {folder, folder + "/../plugins/mpi", folder + "/../lib/tamer"};
}

int Main(int argc, char** argv) {
  OpRegistry registry;
  Outcome outcome;
  outcome.status = RegisterBuiltinOps(registry);
  CLI::App app(
      "Tamer trains neural networks written as protobuf text, on CPUs.");
  app.set_version_flag("--version", std::string("tamer ") + kVersion);
  app.require_subcommand(1);
  const char* search = std::getenv("TAMER_PLUGIN_PATH");
  Plugins plugins(search == nullptr ? "" : search, OwnPlugins());
  plugins.Serve(registry);
  app.add_option_function<std::vector<std::string>>(
         "--plugin",
         [&](const std::vector<std::string>& names) {
           for (const std::string& name : names) {
             outcome.status.Update(plugins.Load(name, "", registry));
           }
         },
         "A library with ops of your own: a path with a slash, or a name to be "
         "found in TAMER_PLUGIN_PATH.")
      ->allow_extra_args(false);
  app.failure_message(CLI::FailureMessage::simple);
  AddAdvise(&app, &registry, &outcome);
  AddProbe(&app, &registry, &outcome);
  AddSweep(&app, &registry, &outcome);
  AddTrain(&app, &registry, &outcome);
  AddEval(&app, &registry, &outcome);
  AddPredict(&app, &registry, &outcome);
  AddFeatures(&app, &registry, &outcome);
  AddGenerate(&app, &registry, &outcome);
  AddComplete(&app, &registry, &outcome);
  AddLikelihood(&app, &registry, &outcome);
  AddReport(&app, &registry, &outcome);
  AddProducts(&app, &registry, &outcome);
  AddDiff(&app, &registry, &outcome);
  AddExport(&app, &registry, &outcome);
  AddImport(&app, &registry, &outcome);
  AddGraph(&app, &registry, &outcome);
  AddDescribe(&app, &registry, &outcome);
  AddProfile(&app, &registry, &outcome);
  AddTokens(&app, &outcome);
  AddOps(&app, &registry, &outcome);
  AddPlugins(&app, &plugins, &outcome);
  AddValidate(&app, &registry, &outcome);
  AddInit(&app, &outcome);
  AddCompletion(&app, &outcome);
  AddManual(&app, &outcome);
  // --plugin may stand behind the command, too.
  for (CLI::App* command : app.get_subcommands({})) {
    command->fallthrough();
    for (CLI::App* inner : command->get_subcommands({})) inner->fallthrough();
  }
  app.footer(
      "Exit codes: 0 all went well, 1 it failed or was interrupted, 2 wrong "
      "usage.\nExample: tamer train examples/fashion_dbn/recipe.pbtxt");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  if (!outcome.status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(outcome.status.message()).c_str());
    return outcome.usage ? kExitUsage : kExitFailed;
  }
  return outcome.code;
}

}  // namespace
}  // namespace tamer

int main(int argc, char** argv) {
  try {
    return tamer::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tamer: %s\n", error.what());
    return tamer::kExitFailed;
  }
}
