#include "tools/cli/command_line.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tamer {
namespace {

// The values that an option's check names, "TEXT:{train,test}".
std::vector<std::string> ChoicesOf(const std::string& type) {
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    return {};
  }
  return absl::StrSplit(type.substr(begin + 1, end - begin - 1), ',');
}

CommandOption DescribeOption(const CLI::Option& option) {
  CommandOption result;
  for (const std::string& name : option.get_snames()) {
    result.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    result.names.push_back("--" + name);
  }
  if (result.names.empty()) {
    result.positional = option.get_name(/*positional=*/true);
  }
  result.description = option.get_description();
  result.choices = ChoicesOf(option.get_type_name());
  result.takes_value = option.get_items_expected_max() > 0;
  return result;
}

}  // namespace

Command DescribeCommand(const CLI::App& app, const std::string& path) {
  Command command;
  command.path = path;
  command.description = app.get_description();
  command.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    command.options.push_back(DescribeOption(*option));
  }
  for (const CLI::App* inner :
       app.get_subcommands([](const CLI::App*) { return true; })) {
    command.commands.push_back(DescribeCommand(
        *inner,
        absl::StrCat(path, path.empty() ? "" : " ", inner->get_name())));
  }
  return command;
}

std::vector<const Command*> AllCommands(const Command& command) {
  std::vector<const Command*> all = {&command};
  for (const Command& inner : command.commands) {
    const auto below = AllCommands(inner);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

std::string LastWord(const std::string& path) {
  return path.substr(path.rfind(' ') + 1);
}

}  // namespace tamer
