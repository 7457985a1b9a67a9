#ifndef TAMER_TOOLS_CLI_COMMAND_LINE_H_
#define TAMER_TOOLS_CLI_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

// What the command line offers, as the parser itself knows it: what shells
// complete and the manual page tells can't differ from what is understood.

namespace tamer {

struct CommandOption {
  std::vector<std::string> names;  // "--run", "-h"; none if positional
  std::string positional;          // its name, if it is one
  std::string description;
  std::vector<std::string> choices;  // the only values, if there are such
  bool takes_value = false;
};

struct Command {
  std::string path;  // "plugins check"; "" for the program
  std::string description, footer;
  std::vector<CommandOption> options;
  std::vector<Command> commands;
};

Command DescribeCommand(const CLI::App& app, const std::string& path = "");

// The command and all below it, each before those.
std::vector<const Command*> AllCommands(const Command& command);

// The last word of a path.
std::string LastWord(const std::string& path);

}  // namespace tamer

#endif  // TAMER_TOOLS_CLI_COMMAND_LINE_H_
