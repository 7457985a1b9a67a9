// The manual page, tamer(1), in roff.

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/base/version.h"
#include "tools/cli/command_line.h"
#include "tools/cli/commands.h"

namespace tamer {
namespace {

// Text in which nothing is a request or an escape.
std::string Plain(const std::string& text) {
  std::string safe = absl::StrReplaceAll(
      text,
      {{"\\", "\\e"}, {"-", "\\-"}, {"\n.", "\n\\&."}, {"\n'", "\n\\&'"}});
  if (!safe.empty() && (safe[0] == '.' || safe[0] == '\'')) safe = "\\&" + safe;
  return safe;
}

std::string Synopsis(const Command& command) {
  std::string text = absl::StrCat("\\fBtamer ", Plain(command.path), "\\fR");
  bool options = false;
  for (const CommandOption& option : command.options) {
    options |= !option.names.empty();
    if (!option.positional.empty()) {
      absl::StrAppend(&text, " \\fI",
                      Plain(absl::AsciiStrToUpper(option.positional)), "\\fR");
    }
  }
  if (options) text += " [\\fIOPTION\\fR...]";
  return text;
}

void WriteOptions(const Command& command, std::string* page) {
  for (const CommandOption& option : command.options) {
    if (option.names.empty() && option.positional.empty()) continue;
    const std::string name =
        option.names.empty()
            ? absl::StrCat("\\fI",
                           Plain(absl::AsciiStrToUpper(option.positional)),
                           "\\fR")
            : absl::StrCat("\\fB", Plain(absl::StrJoin(option.names, ", ")),
                           "\\fR");
    absl::StrAppend(
        page, ".TP\n", name,
        option.takes_value && !option.names.empty() ? " \\fIVALUE\\fR" : "",
        "\n", Plain(option.description));
    if (!option.choices.empty()) {
      absl::StrAppend(page, " One of ",
                      Plain(absl::StrJoin(option.choices, ", ")), ".");
    }
    *page += "\n";
  }
}

std::string Page(const Command& root) {
  std::string page = absl::StrCat(
      ".TH TAMER 1 \"\" \"tamer ", Plain(kVersion), "\" \"User Commands\"\n",
      ".SH NAME\ntamer \\- trains neural networks written as text\n",
      ".SH SYNOPSIS\n\\fBtamer\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...]\n",
      ".SH DESCRIPTION\n", Plain(root.description), "\n.SH OPTIONS\n");
  WriteOptions(root, &page);
  page += ".SH COMMANDS\n";
  for (const Command* command : AllCommands(root)) {
    if (command == &root) continue;
    absl::StrAppend(&page, ".SS ", Synopsis(*command), "\n",
                    Plain(command->description), "\n");
    WriteOptions(*command, &page);
    if (!command->footer.empty()) {
      absl::StrAppend(&page, ".PP\n.nf\n", Plain(command->footer), "\n.fi\n");
    }
  }
  return absl::StrCat(page, ".SH EXIT STATUS\n.nf\n", Plain(root.footer),
                      "\n.fi\n");
}

}  // namespace

void AddManual(CLI::App* app, Outcome* outcome) {
  CLI::App* command = app->add_subcommand(
      "manual", "Print the manual page, made from all that --help tells.");
  command->footer("Example: tamer manual | man -l -");
  command->callback([app, outcome] {
    if (!outcome->status.ok()) return;
    std::fputs(Page(DescribeCommand(*app)).c_str(), stdout);
  });
}

}  // namespace tamer
