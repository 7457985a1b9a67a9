// Scripts with which shells complete `tamer …`.

#include <cstdio>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tools/cli/command_line.h"
#include "tools/cli/commands.h"

namespace tamer {
namespace {

// What may follow a command: its own commands and its options.
std::vector<std::string> WordsAfter(const Command& command) {
  std::vector<std::string> words;
  for (const Command& inner : command.commands) {
    words.push_back(LastWord(inner.path));
  }
  for (const CommandOption& option : command.options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
    if (option.names.empty()) {
      words.insert(words.end(), option.choices.begin(), option.choices.end());
    }
  }
  return words;
}

// All paths as patterns of a shell's `case`: 'train'|'plugins check'.
std::string Paths(const Command& root) {
  std::vector<std::string> paths;
  for (const Command* command : AllCommands(root)) {
    if (!command->path.empty()) {
      paths.push_back(absl::StrCat("'", command->path, "'"));
    }
  }
  return absl::StrJoin(paths, "|");
}

// Finds the command that stands on the line, in `path`.
std::string FindPath(const Command& root, const std::string& words) {
  return absl::StrCat("  local path= word\n  for word in ", words, R"(; do
    case "${path:+$path }$word" in
      )",
                      Paths(root), R"() path="${path:+$path }$word" ;;
    esac
  done
)");
}

std::string Bash(const Command& root) {
  std::string text = absl::StrCat(
      "# bash completion for tamer, made by `tamer completion bash`.\n"
      "_tamer() {\n"
      "  local current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
      "  local before=\"${COMP_WORDS[COMP_CWORD-1]}\" words= values=\n",
      FindPath(root, "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\""),
      "  case \"$path\" in\n");
  for (const Command* command : AllCommands(root)) {
    absl::StrAppend(&text, "    '", command->path, "') words='",
                    absl::StrJoin(WordsAfter(*command), " "), "' ;;\n");
  }
  absl::StrAppend(&text, "  esac\n  case \"$path $before\" in\n");
  for (const Command* command : AllCommands(root)) {
    for (const CommandOption& option : command->options) {
      for (const std::string& name : option.names) {
        if (option.choices.empty()) continue;
        absl::StrAppend(&text, "    '", command->path, " ", name, "') values='",
                        absl::StrJoin(option.choices, " "), "' ;;\n");
      }
    }
  }
  return absl::StrCat(text, R"(  esac
  if [ -n "$values" ]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
  elif [ -n "$path" ] && [[ "$current" != -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -o filenames -F _tamer tamer
)");
}

// A description for zsh's and fish's lists: one line, quotes and colons safe.
std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text.substr(0, text.find('\n')),
                             {{"'", "’"}, {":", "\\:"}});
}

std::string Zsh(const Command& root) {
  std::string text = absl::StrCat(
      "#compdef tamer\n# zsh completion for tamer, made by `tamer completion "
      "zsh`.\n_tamer() {\n  local -a items values\n",
      FindPath(root, "${words[2,CURRENT-1]}"), "  case \"$path\" in\n");
  for (const Command* command : AllCommands(root)) {
    absl::StrAppend(&text, "    '", command->path, "') items=(\n");
    for (const Command& inner : command->commands) {
      absl::StrAppend(&text, "      '", LastWord(inner.path), ":",
                      OneLine(inner.description), "'\n");
    }
    for (const CommandOption& option : command->options) {
      for (const std::string& name : option.names) {
        absl::StrAppend(&text, "      '", name, ":",
                        OneLine(option.description), "'\n");
      }
      for (const std::string& value : option.choices) {
        if (option.names.empty()) absl::StrAppend(&text, "      ", value, "\n");
      }
    }
    absl::StrAppend(&text, "    ) ;;\n");
  }
  absl::StrAppend(&text, "  esac\n  case \"$path ${words[CURRENT-1]}\" in\n");
  for (const Command* command : AllCommands(root)) {
    for (const CommandOption& option : command->options) {
      for (const std::string& name : option.names) {
        if (option.choices.empty()) continue;
        absl::StrAppend(&text, "    '", command->path, " ", name, "') values=(",
                        absl::StrJoin(option.choices, " "), ") ;;\n");
      }
    }
  }
  return absl::StrCat(text, R"(  esac
  if (( ${#values} )); then
    compadd -a values
    return
  fi
  _describe 'tamer' items
  [[ -n "$path" && "${words[CURRENT]}" != -* ]] && _files
}
compdef _tamer tamer
)");
}

// When a command's words are offered: the path's words stand on the line.
std::string FishCondition(const Command& command) {
  if (command.path.empty()) return "__fish_use_subcommand";
  std::string condition;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(command.path, ' '))) {
    absl::StrAppend(&condition, condition.empty() ? "" : "; and ",
                    "__fish_seen_subcommand_from ", word);
  }
  return condition;
}

std::string Fish(const Command& root) {
  std::string text =
      "# fish completion for tamer, made by `tamer completion fish`.\n";
  const auto quoted = [](const std::string& line) {
    return absl::StrReplaceAll(line.substr(0, line.find('\n')), {{"'", "\\'"}});
  };
  for (const Command* command : AllCommands(root)) {
    const std::string begin =
        absl::StrCat("complete -c tamer -n '", FishCondition(*command), "'");
    for (const Command& inner : command->commands) {
      absl::StrAppend(&text, begin, " -f -a ", LastWord(inner.path), " -d '",
                      quoted(inner.description), "'\n");
    }
    for (const CommandOption& option : command->options) {
      std::string line = begin;
      for (const std::string& name : option.names) {
        absl::StrAppend(&line, absl::StartsWith(name, "--")
                                   ? absl::StrCat(" -l ", name.substr(2))
                                   : absl::StrCat(" -s ", name.substr(1)));
      }
      if (!option.choices.empty()) {
        absl::StrAppend(&line, " -f -a '", absl::StrJoin(option.choices, " "),
                        "'");
      }
      if (line == begin) continue;  // a file: fish's own default
      if (option.takes_value && !option.names.empty()) line += " -r";
      absl::StrAppend(&text, line, " -d '", quoted(option.description), "'\n");
    }
  }
  return text;
}

}  // namespace

void AddCompletion(CLI::App* app, Outcome* outcome) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app->add_subcommand(
      "completion",
      "Print a script with which a shell completes this command.");
  command->add_option("shell", *shell, "bash, zsh or fish.")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples: source <(tamer completion bash)\n"
      "          tamer completion fish > "
      "~/.config/fish/completions/tamer.fish");
  command->callback([app, shell, outcome] {
    if (!outcome->status.ok()) return;
    const Command root = DescribeCommand(*app);
    const std::string script = *shell == "bash"  ? Bash(root)
                               : *shell == "zsh" ? Zsh(root)
                                                 : Fish(root);
    std::fputs(script.c_str(), stdout);
  });
}

}  // namespace tamer
