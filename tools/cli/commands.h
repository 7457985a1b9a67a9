#ifndef TAMER_TOOLS_CLI_COMMANDS_H_
#define TAMER_TOOLS_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "core/base/status.h"
#include "core/op/registry.h"

// The `tamer` command's subcommands. Each Add… declares one with its options;
// if the user calls it, `outcome` holds how it went.

namespace tamer {

class Plugins;

// What main() returns.
enum ExitCode { kExitOk = 0, kExitFailed = 1, kExitUsage = 2 };

struct Outcome {
  // An error to print; a wrong use of the command line if `usage`.
  absl::Status status;
  bool usage = false;
  // For failures that are told already: the code alone.
  ExitCode code = kExitOk;
};

void AddAdvise(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddTrain(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddEval(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddPredict(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddGraph(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddDescribe(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddProfile(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddGenerate(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddComplete(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddFeatures(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddLikelihood(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddProbe(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddSweep(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddReport(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddProducts(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddDiff(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddExport(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddImport(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddValidate(CLI::App* app, const OpRegistry* registry, Outcome* outcome);
void AddInit(CLI::App* app, Outcome* outcome);
// Of the whole command line, `app`: scripts for shells, and the manual page.
void AddCompletion(CLI::App* app, Outcome* outcome);
void AddManual(CLI::App* app, Outcome* outcome);
void AddPlugins(CLI::App* app, const Plugins* plugins, Outcome* outcome);
void AddTokens(CLI::App* app, Outcome* outcome);
void AddOps(CLI::App* app, const OpRegistry* registry, Outcome* outcome);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_COMMANDS_H_
